"""Labels and kept patches: an engine against PyTorch, slot by slot of a batch."""
