"""bfloat16: matrix products alone, for convolutions have no bfloat16 before opset 22. It has the range of float32.

The tolerances are measured on a CPU, and rounded up; not yet on a GPU. See docs/evaluation.md. Those of significance
are as small as they are because PaPr's proposal is a ConvNet, which stays in float32. That of tensors is derived, as
in float16: eight times as coarse.
"""

from __future__ import annotations

from typing import Final

import onnx
from onnx import TensorProto

from vpp_deploy.exporters.precision.casting import MATRIX_PRODUCTS, Casting
from vpp_deploy.exporters.precision.precision import Precision, TaskTolerances, unchanged
from vpp_deploy.parity.tolerances import ClassifierTolerances, TensorTolerances, Tolerances

_CASTING: Final = Casting(name="bfloat16", to=TensorProto.BFLOAT16, products=MATRIX_PRODUCTS)


def _reduce(model: onnx.ModelProto, label: str) -> None:
    _CASTING.apply(model)


BFLOAT16: Final = Precision(
    name="bfloat16",
    reduce=_reduce,
    casting=_CASTING,
    check=unchanged,
    tolerances=TaskTolerances(
        segmentation=Tolerances(
            difference=2.0,
            tie_margin=2e-2,
            match_margin=8e-3,
            mask_margin=0.8,
            overlap=0.75,
            track_agreement=0.8,
            mask_iou=0.9,
            ties_everywhere=True,
        ),
        classification=ClassifierTolerances(logits=0.8, features=8e-2, significance=1e-4, tie_margin=1e-5),
        tensors=TensorTolerances(difference=8e-2),
    ),
)
