"""PaPr: prune off-the-shelf vision transformers, ConvNets and video transformers without training."""
