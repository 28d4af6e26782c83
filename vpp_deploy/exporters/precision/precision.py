"""What a precision is: the record that exports and parity checks ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vpp_deploy.parity.tolerances import ClassifierTolerances, TensorTolerances, Tolerances

if TYPE_CHECKING:
    import onnx

GraphPass = Callable[["onnx.ModelProto", str], None]
"""Changes or checks a graph in place: `(model, label)`, where the label is the graph's name in messages.

Weights are initializers with their values inside, `vpp` nodes still stand, and every product has float32 inputs.
"""


@dataclass(frozen=True, kw_only=True)
class TaskTolerances:
    """What counts as equal to the PyTorch reference, for every task.

    Attributes:
        segmentation: instance segmentation over time.
        classification: images or clips.
        tensors: models whose outputs are not interpreted.
    """

    segmentation: Tolerances
    classification: ClassifierTolerances
    tensors: TensorTolerances


@dataclass(frozen=True, kw_only=True)
class CalibrationNeed:
    """What has to be seen of a model before its graph can be rounded: the ranges of activations, on real inputs.

    Exports do not take such inputs yet, so a precision that needs them is refused (`check_precision`). Whoever adds the
    first one hands the ranges to its `reduce`; a precision that rounds weights alone needs none.

    Attributes:
        samples: least number of frames, images or clips.
        tensors: names of the tensors of a graph whose range is needed.
    """

    samples: int
    tensors: Callable[[onnx.ModelProto], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A type that the products of an exported graph compute in.

    The record is imported when its name is asked for. It knows graphs, not PyTorch.

    Attributes:
        name: as in manifests and on the command line: lower case, digits and underscores.
        reduce: rewrites a graph in place, so that its products compute in this type. Inputs, outputs, state and
            initializers keep their types and names.
        check: refuses a rewritten graph whose values this type cannot hold. Raises ExportError.
        tolerances: the bar of a parity check.
        added_ops: standard ONNX ops that `reduce` writes and that no float32 graph has.
        calibration: the data that `reduce` needs; None where the graph is enough, as for casts.
    """

    name: str
    reduce: GraphPass
    check: GraphPass
    tolerances: TaskTolerances
    added_ops: frozenset[str] = frozenset()
    calibration: CalibrationNeed | None = None


def unchanged(model: onnx.ModelProto, label: str) -> None:
    """A pass that leaves every graph as it is, and finds nothing wrong."""
