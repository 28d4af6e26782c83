"""Post-training quantisation of bundles: INT8, FP8, or a smaller float for chosen layers. Needs no PyTorch."""
