"""Post-training quantisation of bundles to INT8. Needs data and ONNX Runtime, and no PyTorch."""
