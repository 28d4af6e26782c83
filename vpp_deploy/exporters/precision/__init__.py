"""The types that the products of an exported graph can compute in: one file each.

`PRECISIONS` names them; a record is imported when it is asked for. No PyTorch: parity checks ask for tolerances.
"""

from __future__ import annotations

from typing import Final

from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.precision.precision import CalibrationNeed, GraphPass, Precision, TaskTolerances
from vpp_deploy.registry import Registry

PRECISIONS: Final[Registry[Precision]] = Registry(
    "precision",
    {
        "float32": "vpp_deploy.exporters.precision.float32:FLOAT32",
        "float16": "vpp_deploy.exporters.precision.float16:FLOAT16",
        "bfloat16": "vpp_deploy.exporters.precision.bfloat16:BFLOAT16",
    },
    Precision,
)


def check_precision(text: str, called: str = "precision") -> str:
    """The name of a precision that a user wants to export in.

    Args:
        text: what was given.
        called: what the user knows it by.

    Raises:
        UsageError: there is no such precision, or it needs data that an export cannot be given.
    """
    record = PRECISIONS.find(text, called)
    if record.calibration is not None:
        raise UsageError(
            f"{called} {text!r} has to be calibrated on {record.calibration.samples} inputs, which an export does not "
            "take yet; use another precision"
        )
    return record.name


def tolerances_of(precision: str) -> TaskTolerances:
    """What counts as equal to the PyTorch reference in a precision.

    Args:
        precision: of an engine, as its bundle names it.

    Raises:
        UsageError: the bundle was made where more precisions are known than here.
    """
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise UsageError(f"no parity tolerances for precision {precision!r}; there are some for {known}")
    return PRECISIONS[precision].tolerances


__all__ = [
    "PRECISIONS",
    "CalibrationNeed",
    "GraphPass",
    "Precision",
    "TaskTolerances",
    "check_precision",
    "tolerances_of",
]
