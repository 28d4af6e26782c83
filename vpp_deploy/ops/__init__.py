"""The `vpp::` domain ops: one file per op family with its reference, symbol and lowerings."""
