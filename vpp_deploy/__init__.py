"""vpp-deploy: token-pruned vision transformers to ONNX Runtime and TensorRT.

Names are imported when they are first used, so that a machine without PyTorch can run a bundle.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vpp_deploy._version import __version__

if TYPE_CHECKING:
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.classification import ClassificationSession
    from vpp_deploy.engines import TensorRtOptions, build_engine, load_engine
    from vpp_deploy.errors import VppDeployError
    from vpp_deploy.evaluation import evaluate
    from vpp_deploy.exporters import RandomWeights, export
    from vpp_deploy.exporters.papr_exporter import export_papr
    from vpp_deploy.frames import VideoFrame
    from vpp_deploy.models.papr.config import PaprConfig
    from vpp_deploy.models.papr.reference import PaprTorchEngine
    from vpp_deploy.models.reference import TorchEngine
    from vpp_deploy.parity import check_classification, check_parity
    from vpp_deploy.results import ClassificationResult, FrameResult, Instances
    from vpp_deploy.session import VideoSession
    from vpp_deploy.video import read_pictures, read_video

_HOMES = {
    "Bundle": "vpp_deploy.bundle",
    "ClassificationResult": "vpp_deploy.results",
    "ClassificationSession": "vpp_deploy.classification",
    "FrameResult": "vpp_deploy.results",
    "Instances": "vpp_deploy.results",
    "PaprConfig": "vpp_deploy.models.papr.config",
    "PaprTorchEngine": "vpp_deploy.models.papr.reference",
    "RandomWeights": "vpp_deploy.exporters",
    "TensorRtOptions": "vpp_deploy.engines",
    "TorchEngine": "vpp_deploy.models.reference",
    "VideoFrame": "vpp_deploy.frames",
    "VideoSession": "vpp_deploy.session",
    "VppDeployError": "vpp_deploy.errors",
    "build_engine": "vpp_deploy.engines",
    "check_classification": "vpp_deploy.parity",
    "check_parity": "vpp_deploy.parity",
    "evaluate": "vpp_deploy.evaluation",
    "export": "vpp_deploy.exporters",
    "export_papr": "vpp_deploy.exporters.papr_exporter",
    "load_engine": "vpp_deploy.engines",
    "read_pictures": "vpp_deploy.video",
    "read_video": "vpp_deploy.video",
}

__all__ = [
    "Bundle",
    "ClassificationResult",
    "ClassificationSession",
    "FrameResult",
    "Instances",
    "PaprConfig",
    "PaprTorchEngine",
    "RandomWeights",
    "TensorRtOptions",
    "TorchEngine",
    "VideoFrame",
    "VideoSession",
    "VppDeployError",
    "__version__",
    "build_engine",
    "check_classification",
    "check_parity",
    "evaluate",
    "export",
    "export_papr",
    "load_engine",
    "read_pictures",
    "read_video",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
