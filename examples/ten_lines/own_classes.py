"""Export a detector with classes of your own; the checkpoint's class head must have as many, and one for no object."""

import sys

import vpp_deploy as vd

weights = vd.RandomWeights(seed=0)  # or checkpoint="trained.pth", or state_dict=model.state_dict()
bundle = vd.export(
    "vpp-micro", out=sys.argv[1], random_weights=weights, labels=["car", "bicycle"], keep="dense", size=(64, 96)
)
print(vd.load(bundle, engine="torch").names)
