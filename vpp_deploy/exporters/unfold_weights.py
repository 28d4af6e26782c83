"""Undoing the exporter's weight folding, so that graphs and PyTorch share one copy of every weight.

PyTorch's exporter folds the transpose of a linear layer's weight, and the three parts of a fused in-projection, into
new initializers. Each is computed again here from the official tensor; engine builders fold it when they build.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from vpp_deploy.bundle.hashing import sha256_of_bytes

Array = npt.NDArray[Any]

_PARTS = 3
"""Query, key and value in a fused in-projection."""


@dataclass(frozen=True)
class _Derivation:
    """How a folded initializer comes from an official tensor, its origin: maybe a third of it, maybe transposed."""

    origin: str
    part: int | None
    transposed: bool


def unfold_weights(model: onnx.ModelProto, state_dict: Mapping[str, Array], min_bytes: int = 1024) -> None:
    """Replace initializers that are derived from `state_dict` by nodes that derive them.

    Args:
        model: the traced model; changed in place.
        state_dict: the official tensors by name.
        min_bytes: smaller initializers stay as they are.
    """
    derivations = dict(_derivations(state_dict))
    official = {_digest(array) for array in state_dict.values()}
    present = {tensor.name for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for initializer in list(model.graph.initializer):
        array = onnx.numpy_helper.to_array(initializer)
        if array.nbytes < min_bytes or (digest := _digest(array)) in official or digest not in derivations:
            continue
        derivation = derivations[digest]
        origin = state_dict[derivation.origin]
        if derivation.origin not in present:
            present.add(derivation.origin)
            model.graph.initializer.append(onnx.numpy_helper.from_array(origin, derivation.origin))
        nodes += _derive(derivation, initializer.name, origin.shape)
        model.graph.initializer.remove(initializer)
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def _derivations(state_dict: Mapping[str, Array]) -> Iterator[tuple[str, _Derivation]]:
    for name, array in state_dict.items():
        if array.ndim not in (1, 2):
            continue
        if array.ndim == 2:
            yield _digest(array.T), _Derivation(name, None, True)
        if "in_proj" in name:
            for part, rows in enumerate(np.split(array, _PARTS)):
                yield _digest(rows), _Derivation(name, part, False)
                if array.ndim == 2:
                    yield _digest(rows.T), _Derivation(name, part, True)


def _digest(array: Array) -> str:
    return f"{array.dtype}{array.shape}{sha256_of_bytes(np.ascontiguousarray(array).data)}"


def _derive(derivation: _Derivation, output: str, shape: tuple[int, ...]) -> list[onnx.NodeProto]:
    make = onnx.helper.make_node
    current, nodes = derivation.origin, []
    if derivation.part is not None:
        rows = shape[0] // _PARTS
        bounds = {"start": derivation.part * rows, "end": (derivation.part + 1) * rows, "axis": 0}
        for key, value in bounds.items():
            nodes.append(make("Constant", [], [f"{output}/{key}"], name=f"{output}/{key}", value_ints=[value]))
        part = f"{output}/part" if derivation.transposed else output
        nodes.append(make("Slice", [current, *(f"{output}/{key}" for key in bounds)], [part], name=f"{output}/Slice"))
        current = part
    if derivation.transposed:
        nodes.append(make("Transpose", [current], [output], name=f"{output}/Transpose", perm=[1, 0]))
    return nodes
