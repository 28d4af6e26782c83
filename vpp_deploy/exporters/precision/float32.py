"""float32: graphs as they are traced."""

from __future__ import annotations

from typing import Final

from vpp_deploy.exporters.precision.precision import Precision, TaskTolerances, unchanged
from vpp_deploy.parity.tolerances import ClassifierTolerances, TensorTolerances, Tolerances

FLOAT32: Final = Precision(
    name="float32",
    reduce=unchanged,
    check=unchanged,
    tolerances=TaskTolerances(
        segmentation=Tolerances(
            difference=1e-3,
            tie_margin=1e-5,
            match_margin=1e-6,
            mask_margin=1e-3,
            overlap=0.999,
            track_agreement=1.0,
            mask_iou=0.99,
        ),
        classification=ClassifierTolerances(logits=1e-4, features=1e-4, significance=1e-4, tie_margin=1e-5),
        tensors=TensorTolerances(difference=1e-3),
    ),
)
