"""vpp-deploy: token-pruned vision transformers to ONNX Runtime and TensorRT.

Names are imported when they are first used, so that a machine without PyTorch can run a bundle.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from vpp_deploy._version import __version__

if TYPE_CHECKING:
    from vpp_deploy.bundle import Bundle
    from vpp_deploy.engines import BACKENDS, TensorRtBuildOptions, build_engine, load_engine
    from vpp_deploy.errors import VppDeployError
    from vpp_deploy.exporters import RandomWeights
    from vpp_deploy.exporters.request import ExportRequest
    from vpp_deploy.families import FAMILIES, Family, export, list_models, open_reference
    from vpp_deploy.families.papr.config import PaprConfig
    from vpp_deploy.families.vpp.config import DetectorConfig
    from vpp_deploy.frames import Frame
    from vpp_deploy.media import VideoWriter, read_video
    from vpp_deploy.media.letterbox import letterbox
    from vpp_deploy.quantization.quantizer import QuantizeOptions, quantize
    from vpp_deploy.serving import SessionPool
    from vpp_deploy.tasks import TASKS, check_parity, evaluate, load, open_session
    from vpp_deploy.tasks.classification.model import ClassificationModel
    from vpp_deploy.tasks.classification.reader import read_pictures
    from vpp_deploy.tasks.classification.results import ClassificationResult
    from vpp_deploy.tasks.classification.session import ClassificationSession
    from vpp_deploy.tasks.segmentation.model import SegmentationModel
    from vpp_deploy.tasks.segmentation.overlay import draw
    from vpp_deploy.tasks.segmentation.results import FrameResult, Instance, Instances
    from vpp_deploy.tasks.segmentation.session import SessionState, VideoSession
    from vpp_deploy.tasks.tensors.session import TensorSession

_HOMES = {
    "BACKENDS": "vpp_deploy.engines",
    "Bundle": "vpp_deploy.bundle",
    "ClassificationModel": "vpp_deploy.tasks.classification.model",
    "ClassificationResult": "vpp_deploy.tasks.classification.results",
    "ClassificationSession": "vpp_deploy.tasks.classification.session",
    "DetectorConfig": "vpp_deploy.families.vpp.config",
    "ExportRequest": "vpp_deploy.exporters.request",
    "FAMILIES": "vpp_deploy.families",
    "Family": "vpp_deploy.families",
    "Frame": "vpp_deploy.frames",
    "FrameResult": "vpp_deploy.tasks.segmentation.results",
    "Instance": "vpp_deploy.tasks.segmentation.results",
    "Instances": "vpp_deploy.tasks.segmentation.results",
    "PaprConfig": "vpp_deploy.families.papr.config",
    "QuantizeOptions": "vpp_deploy.quantization.quantizer",
    "RandomWeights": "vpp_deploy.exporters",
    "SegmentationModel": "vpp_deploy.tasks.segmentation.model",
    "SessionPool": "vpp_deploy.serving",
    "SessionState": "vpp_deploy.tasks.segmentation.session",
    "TASKS": "vpp_deploy.tasks",
    "TensorRtBuildOptions": "vpp_deploy.engines",
    "TensorSession": "vpp_deploy.tasks.tensors.session",
    "VideoSession": "vpp_deploy.tasks.segmentation.session",
    "VideoWriter": "vpp_deploy.media",
    "VppDeployError": "vpp_deploy.errors",
    "build_engine": "vpp_deploy.engines",
    "check_parity": "vpp_deploy.tasks",
    "draw": "vpp_deploy.tasks.segmentation.overlay",
    "evaluate": "vpp_deploy.tasks",
    "export": "vpp_deploy.families",
    "letterbox": "vpp_deploy.media.letterbox",
    "list_models": "vpp_deploy.families",
    "load": "vpp_deploy.tasks",
    "load_engine": "vpp_deploy.engines",
    "open_reference": "vpp_deploy.families",
    "open_session": "vpp_deploy.tasks",
    "quantize": "vpp_deploy.quantization.quantizer",
    "read_pictures": "vpp_deploy.tasks.classification.reader",
    "read_video": "vpp_deploy.media",
}


class _Deprecated(NamedTuple):
    """A name of an earlier version: where what it means is now, what to write instead, and when it ends."""

    home: str
    name: str
    instead: str
    removed_in: str


_DEPRECATED = {
    "PaprTorchEngine": _Deprecated(
        "vpp_deploy.families.papr.reference", "PaprTorchEngine", "open_reference(bundle)", "0.3.0"
    ),
    "TensorRtOptions": _Deprecated("vpp_deploy.engines", "TensorRtBuildOptions", "TensorRtBuildOptions", "0.3.0"),
    "TorchEngine": _Deprecated("vpp_deploy.families.vpp.reference", "TorchEngine", "open_reference(bundle)", "0.3.0"),
    "VideoFrame": _Deprecated("vpp_deploy.frames", "Frame", "Frame", "0.3.0"),
    "check_classification": _Deprecated(
        "vpp_deploy.tasks.classification.parity.check", "check_classification", "check_parity", "0.3.0"
    ),
    "export_papr": _Deprecated("vpp_deploy.families.papr.export", "export_papr", "export", "0.3.0"),
}

__all__ = [
    "BACKENDS",
    "FAMILIES",
    "TASKS",
    "Bundle",
    "ClassificationModel",
    "ClassificationResult",
    "ClassificationSession",
    "DetectorConfig",
    "ExportRequest",
    "Family",
    "Frame",
    "FrameResult",
    "Instance",
    "Instances",
    "PaprConfig",
    "QuantizeOptions",
    "RandomWeights",
    "SegmentationModel",
    "SessionPool",
    "SessionState",
    "TensorRtBuildOptions",
    "TensorSession",
    "VideoSession",
    "VideoWriter",
    "VppDeployError",
    "__version__",
    "build_engine",
    "check_parity",
    "draw",
    "evaluate",
    "export",
    "letterbox",
    "list_models",
    "load",
    "load_engine",
    "open_reference",
    "open_session",
    "quantize",
    "read_pictures",
    "read_video",
]


def __getattr__(name: str) -> Any:
    if name in _DEPRECATED:
        old = _DEPRECATED[name]
        warnings.warn(
            f"vpp_deploy.{name} is deprecated and will be removed in {old.removed_in}; "
            f"use vpp_deploy.{old.instead} instead",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(old.home), old.name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
