"""What a measurement was made on: without it, a number means nothing."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vpp_deploy._version import __version__
from vpp_deploy.engines.backend import installed_version
from vpp_deploy.machine import available_processors, nvidia_gpus

_PACKAGES: Final = ("onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx", "torch", "openvino", "numpy")


def describe_machine() -> dict[str, Any]:
    """Date, processor, operating system, GPUs and versions, as JSON values."""
    versions = {name: version for name in _PACKAGES if (version := installed_version(name))}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "processors": available_processors(),
        "system": platform.platform(),
        "gpus": [f"{gpu.name} (compute capability {gpu.compute_capability})" for gpu in nvidia_gpus()],
        "versions": {"vpp-deploy": __version__, "python": platform.python_version()} | versions,
    }


def processor() -> str:
    """The processor's name where Linux tells it, or else its architecture."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text(encoding="utf-8").splitlines() if names.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
