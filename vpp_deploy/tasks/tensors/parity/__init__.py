"""Parity of models of plain tensors."""
