"""Export a model that is in memory, such as the one that you have just trained, with labels of your own."""

import sys

import timm

import vpp_deploy as vd

trained = timm.create_model("deit_tiny_patch16_224", num_classes=3)
bundle = vd.export(
    "evit:deit_tiny", out=sys.argv[1], state_dict=trained.state_dict(), labels=["cat", "dog", "owl"], keep=0.7
)
print(vd.load(bundle).names)
