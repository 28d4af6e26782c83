"""The types that the products of an exported graph can compute in: one file each.

`PRECISIONS` names them; a record is imported when it is asked for. No PyTorch: parity checks ask for tolerances.
"""

from __future__ import annotations

from typing import Final

from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.precision.precision import GraphPass, Precision, TaskTolerances
from vpp_deploy.registry import Registry

PRECISIONS: Final[Registry[Precision]] = Registry(
    "precision",
    {
        "float32": "vpp_deploy.exporters.precision.float32:FLOAT32",
        "float16": "vpp_deploy.exporters.precision.float16:FLOAT16",
        "bfloat16": "vpp_deploy.exporters.precision.bfloat16:BFLOAT16",
        "int8": "vpp_deploy.exporters.precision.int8:INT8",
        "fp8": "vpp_deploy.exporters.precision.fp8:FP8",
    },
    Precision,
)
_TAKE_DATA: Final = ("int8", "fp8")
"""Those whose record says `needs_data`: help pages list the others, and importing all of them would take longer."""


def check_precision(text: str, called: str = "precision") -> str:
    """The name of a precision that a user wants to export in.

    Args:
        text: what was given.
        called: what the user knows it by.

    Raises:
        UsageError: there is no such precision, or it needs data that an export cannot be given.
    """
    record = PRECISIONS.find(text, called)
    if record.needs_data:
        raise UsageError(
            f"{called} {text!r} takes data, which an export does not: export in float32, then use `vpp-deploy quantize`"
        )
    return record.name


def exported_precisions() -> list[str]:
    """Names of the precisions that an export can be asked for."""
    return [name for name in PRECISIONS if name not in _TAKE_DATA]


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
    "GraphPass",
    "Precision",
    "TaskTolerances",
    "check_precision",
    "exported_precisions",
    "tolerances_of",
]
