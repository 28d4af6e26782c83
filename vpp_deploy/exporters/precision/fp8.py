"""FP8 (E4M3): made by `vpp-deploy quantize` from a float32 bundle and data, and not by an export.

The tolerances are those of INT8 but where more was measured, on a CPU, which computes in float32 from rounded values;
not yet on a GPU. See docs/quantization.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vpp_deploy.exporters.precision.int8 import INT8
from vpp_deploy.exporters.precision.precision import Precision, needing_data

FP8: Final[Precision] = replace(
    INT8,
    name="fp8",
    reduce=needing_data("FP8"),
    tolerances=replace(
        INT8.tolerances, segmentation=replace(INT8.tolerances.segmentation, tie_margin=5e-2, overlap=0.7)
    ),
)
