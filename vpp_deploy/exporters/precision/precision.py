"""What a precision is: the record that exports and parity checks ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vpp_deploy.errors import ExportError
from vpp_deploy.parity.tolerances import ClassifierTolerances, TensorTolerances, Tolerances

if TYPE_CHECKING:
    import onnx

    from vpp_deploy.exporters.precision.casting import Casting

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
class Precision:
    """A type that the products of an exported graph compute in.

    The record is imported when its name is asked for. It knows graphs, not PyTorch.

    Attributes:
        name: as in manifests and on the command line: lower case, digits and underscores.
        reduce: rewrites a graph in place, so that its products compute in this type. Inputs, outputs, state and
            initializers keep their types and names.
        casting: of a smaller float, what `reduce` applies: `vpp_deploy.quantization` applies it to a choice of layers.
        check: refuses a rewritten graph whose values this type cannot hold. Raises ExportError.
        tolerances: the bar of a parity check.
        added_ops: standard ONNX ops that `reduce` writes and that no float32 graph has.
        needs_data: whether ranges of activations have to be seen first. An export cannot show it any, so it refuses;
            `vpp_deploy.quantization` makes such a bundle of a float32 one.
    """

    name: str
    reduce: GraphPass
    check: GraphPass
    tolerances: TaskTolerances
    casting: Casting | None = None
    added_ops: frozenset[str] = frozenset()
    needs_data: bool = False


def needing_data(called: str) -> GraphPass:
    """The `reduce` of a precision that an export cannot give: it refuses every graph.

    Args:
        called: what users know the precision by.
    """

    def refuse(model: onnx.ModelProto, label: str) -> None:
        raise ExportError(
            f"{label}: {called} takes data, which an export has not: use `vpp-deploy quantize` on a float32 bundle"
        )

    return refuse


def unchanged(model: onnx.ModelProto, label: str) -> None:
    """A pass that leaves every graph as it is, and finds nothing wrong."""
