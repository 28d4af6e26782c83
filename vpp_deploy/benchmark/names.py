"""What a user would pick instead of an engine, by name; cheap to import, for help pages."""

from __future__ import annotations

from typing import Final

TORCH_COMPILE: Final = "torch-compile"
NAIVE_ONNX: Final = "naive-onnx"
PEERS: Final = ("torch", TORCH_COMPILE, NAIVE_ONNX)
"""The first is the reference, as `vpp_deploy.tasks.engines.TORCH` names it."""
