"""float16: matrix products and convolutions. It ends at 65504.

Weights beyond that are refused; activations beyond it become infinite in the engine, which only a parity check can
tell. The tolerances are measured on a CPU, and rounded up; not yet on a GPU. See docs/evaluation.md. That of tensors is
derived: the bar of segmentation in parts of its logits, the largest of which are 7 (classes) to 60 (masks).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from vpp_deploy.errors import ExportError
from vpp_deploy.exporters.precision.casting import PRODUCTS, Casting, weights_cast_to
from vpp_deploy.exporters.precision.precision import Precision, TaskTolerances
from vpp_deploy.parity.tolerances import ClassifierTolerances, TensorTolerances, Tolerances

_LARGEST: Final = float(np.finfo(np.float16).max)


_CASTING: Final = Casting(name="float16", to=TensorProto.FLOAT16, products=PRODUCTS)


def _reduce(model: onnx.ModelProto, label: str) -> None:
    _CASTING.apply(model)


def _check(model: onnx.ModelProto, label: str) -> None:
    for weight in weights_cast_to(TensorProto.FLOAT16, model.graph):
        largest = float(np.abs(numpy_helper.to_array(weight)).max(initial=0.0))
        if largest > _LARGEST:
            raise ExportError(
                f"{label}: the weight {weight.name} holds ±{largest:.6g}, and float16 ends at {_LARGEST:g}; "
                "export with bfloat16 or float32"
            )


FLOAT16: Final = Precision(
    name="float16",
    reduce=_reduce,
    casting=_CASTING,
    check=_check,
    tolerances=TaskTolerances(
        segmentation=Tolerances(
            difference=0.25,
            tie_margin=2e-3,
            match_margin=1e-3,
            mask_margin=0.1,
            overlap=0.9,
            track_agreement=0.9,
            mask_iou=0.95,
            ties_everywhere=True,
        ),
        classification=ClassifierTolerances(logits=0.1, features=1e-2, significance=2e-3, tie_margin=1e-3),
        tensors=TensorTolerances(difference=1e-2),
    ),
)
