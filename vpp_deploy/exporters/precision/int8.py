"""INT8: made by `vpp-deploy quantize` from a float32 bundle and data, and not by an export.

The tolerances are measured on a CPU, and rounded up. See docs/quantization.md.
"""

from __future__ import annotations

from typing import Final

from vpp_deploy.exporters.precision.precision import Precision, TaskTolerances, needing_data, unchanged
from vpp_deploy.parity.tolerances import ClassifierTolerances, TensorTolerances, Tolerances

INT8: Final = Precision(
    name="int8",
    reduce=needing_data("INT8"),
    needs_data=True,
    check=unchanged,
    tolerances=TaskTolerances(
        segmentation=Tolerances(
            difference=8.0,
            tie_margin=3e-2,
            match_margin=0.0,  # so many decisions are near ties that no search could name the ones that were flipped
            mask_margin=0.0,
            overlap=0.75,
            track_agreement=0.8,
            mask_iou=0.9,
            ties_everywhere=True,
            task=0.5,
        ),
        classification=ClassifierTolerances(logits=0.8, features=0.2, significance=2e-2, tie_margin=1e-2),
        tensors=TensorTolerances(difference=0.2),
    ),
)
