"""vpp-deploy: token-pruned vision transformers to ONNX Runtime and TensorRT."""
