"""Export a model of a configuration of your own: here a bundle's, with other tokens to match the next frame against."""

import sys
from dataclasses import replace

import vpp_deploy as vd

given = vd.DetectorConfig.from_dict(vd.Bundle.open(sys.argv[1]).manifest.model.config)
mine = replace(given, name="vpp-mine", reference_tokens="paper")
bundle = vd.export(mine, out=sys.argv[2], random_weights=vd.RandomWeights(seed=0), size=(64, 96))
print(bundle.manifest.model.name, bundle.manifest.model.config["reference_tokens"])
