"""The parts of an inspection that look alike for every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from vpp_deploy.bundle import Manifest
from vpp_deploy.bundle.manifest import TensorSpec, WeightsProvenance
from vpp_deploy.terminal import console


@dataclass(frozen=True)
class Page:
    """What a task shows of a bundle.

    Attributes:
        model: facts about the model.
        sections: headings and what stands under them.
        measure: the command that measures parity.
        parity: a parity summary in words; a KeyError, TypeError or ValueError says that it cannot be read.
    """

    model: RenderableType
    sections: Sequence[tuple[str, RenderableType]]
    measure: str
    parity: Callable[[Any], str]


def tensors(manifest: Manifest) -> Table:
    """One row per input and output; a graph that lacks it has a dash."""
    roles = manifest.roles
    table = console.table("", "name", "type", *roles)
    for direction in ("in", "out"):
        shapes: dict[str, dict[str, TensorSpec]] = {}
        for role in reversed(roles):  # the last graph has all, in their order
            graph = manifest.graphs[role]
            for spec in graph.inputs if direction == "in" else graph.outputs:
                shapes.setdefault(spec.name, {})[role] = spec
        for name, specs in shapes.items():
            dtype = next(iter(specs.values())).dtype
            cells = [shape(specs[role].shape) if role in specs else "–" for role in roles]
            table.add_row(direction, name, dtype, *cells)
    return table


def shape(dimensions: Sequence[int]) -> str:
    """Such as `[1, 3]`."""
    return f"[{', '.join(map(str, dimensions))}]"


def state_table(manifest: Manifest) -> Table:
    """One row per state tensor."""
    table = console.table("name", "type", "shape", "input of step", "output")
    for state in manifest.state:
        table.add_row(state.name, state.dtype, shape(state.shape), state.input, state.output)
    return table


def preprocessing(resize: str, colour: str, mean: Sequence[float], std: Sequence[float]) -> Table:
    """How a picture becomes the model's input."""
    return console.facts(
        [
            ("resize", resize),
            ("pixels", f"uint8 {colour}; in the graph: (pixel - mean) / std"),
            ("mean", ", ".join(f"{value:g}" for value in mean)),
            ("std", ", ".join(f"{value:g}" for value in std)),
        ]
    )


def provenance(manifest: Manifest) -> Table:
    """How the bundle was made."""
    made = manifest.provenance
    proposal = [] if made.proposal_weights is None else [("proposal", _weights(made.proposal_weights))]
    versions = f"vpp-deploy {made.vpp_deploy}, PyTorch {made.torch}, ONNX {made.onnx} (opset {made.opset})"
    return console.facts(
        [("weights", _weights(made.weights)), *proposal, ("created", made.created), ("made with", versions)]
    )


def _weights(source: WeightsProvenance) -> Text:
    if source.kind == "random":
        return Text(f"RANDOM, seed {source.seed}: untrained", style="bold red")
    digest = "" if source.sha256 is None else f", sha256 {source.sha256}"
    return Text(f"{source.kind} {source.name}{digest}")


def worst(tensors: Mapping[str, Any]) -> str:
    """The largest difference of a parity summary's tensors.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    _require_names(tensors)
    name = max(tensors, key=lambda tensor: number(tensors[tensor]["maximum"] or 0.0))
    return f"largest difference {number(tensors[name]['maximum']):.1e} ({name})"


def least_overlap(overlaps: Mapping[str, Any]) -> str:
    """The smallest overlap of a parity summary's kept sets, as a percentage; raises as `worst`."""
    _require_names(overlaps)
    return share(min((number(overlaps[point]["minimum"]) for point in overlaps), default=1.0))


def _require_names(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r:.40} has no names")


def share(value: Any) -> str:
    """A share of a parity summary as a percentage; raises as `worst`."""
    return console.percent(number(value))


def number(value: Any) -> float:
    """A number of a parity summary.

    Raises:
        TypeError, ValueError: it is something else, or beyond all measure.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.40} is not a number")
    if not abs(value) < 1e300:
        raise ValueError("a number beyond all measure")
    return float(value)
