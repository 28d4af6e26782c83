"""The best label of every picture of a folder."""

import sys

import vpp_deploy as vd

model = vd.load(sys.argv[1])
for result in model.run(sys.argv[2]):
    name, probability = result.best
    print(f"{result.name}: {name} ({probability:.1%})")
