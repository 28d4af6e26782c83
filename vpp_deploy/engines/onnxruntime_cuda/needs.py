"""What ONNX Runtime needs on a machine to run on its GPU, and whether it is there."""

from __future__ import annotations

from typing import Final

from vpp_deploy.engines import onnxruntime as on_processor
from vpp_deploy.engines.backend import Ability, Surroundings
from vpp_deploy.engines.onnxruntime.needs import providers
from vpp_deploy.engines.onnxruntime_cuda import BACKEND

PROVIDER: Final = "CUDAExecutionProvider"
REMEDY: Final = f"pip uninstall -y {' '.join(on_processor.BACKEND.distributions)}, then {BACKEND.install_command}"
"""Gets the provider. Both distributions own the same files, so both go: what is left of one would be broken."""


def examine(surroundings: Surroundings) -> Ability:
    """What can be built and run on a machine: engines need a GPU only to run."""
    available, broken = providers()
    no_provider = None if PROVIDER in available else f"this ONNX Runtime has no CUDA provider: {REMEDY}"
    return Ability(cannot_build=broken, cannot_run=broken or no_provider or surroundings.no_gpu)
