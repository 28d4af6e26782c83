"""FP8 (E4M3): made by `vpp-deploy quantize` from a float32 bundle and data, and not by an export.

The tolerances are measured on a CPU, which computes in float32 from rounded values, and rounded up; not yet on a GPU.
See docs/quantization.md.
"""

from __future__ import annotations

from typing import Final

import onnx

from vpp_deploy.errors import ExportError
from vpp_deploy.exporters.precision.precision import Precision, TaskTolerances, unchanged
from vpp_deploy.parity.tolerances import ClassifierTolerances, TensorTolerances, Tolerances


def _refuse(model: onnx.ModelProto, label: str) -> None:
    raise ExportError(
        f"{label}: FP8 takes data, which an export has not: use `vpp-deploy quantize` on a float32 bundle"
    )


FP8: Final = Precision(
    name="fp8",
    reduce=_refuse,
    needs_data=True,
    check=unchanged,
    tolerances=TaskTolerances(
        segmentation=Tolerances(
            difference=8.0,
            tie_margin=5e-2,
            match_margin=0.0,  # so many decisions are near ties that no search could name the ones that were flipped
            mask_margin=0.0,
            overlap=0.7,
            track_agreement=0.8,
            mask_iou=0.9,
            ties_everywhere=True,
            task=0.5,
        ),
        classification=ClassifierTolerances(logits=0.8, features=0.2, significance=2e-2, tie_margin=1e-2),
        tensors=TensorTolerances(difference=0.2),
    ),
)
