"""What comparisons with the PyTorch reference share: tensors, kept tokens, tolerances, reports."""
