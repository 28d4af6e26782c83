"""Whether a model that OpenVINO has read is what its bundle promises; asked before it is compiled.

Problems are ends of sentences that begin with the graph; whoever asks takes the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import openvino

from vpp_deploy.bundle.manifest import GraphRole, Manifest, TensorSpec
from vpp_deploy.files.limits import in_bytes

_HELD_BACK: Final = frozenset(["Assign", "If", "Loop", "ReadValue", "TensorIterator"])
"""Control flow, which no build writes, and memory from one run to the next, which is the stream's part."""
_TYPES: Final = {"float32": "f32", "float16": "f16", "int32": "i32", "uint8": "u8", "bool": "boolean"}
_CONSTANT: Final = "Constant"


def model_problems(
    model: openvino.Model, manifest: Manifest, role: GraphRole, stored: int, max_memory: int
) -> Iterator[str]:
    """What is wrong with a graph of an engine.

    Args:
        model: the graph.
        manifest: what it should be.
        role: which graph of the bundle.
        stored: bytes of the file with its weights.
        max_memory: bytes that its tensors may take at once.
    """
    for layer in model.get_ops():
        kind, label = layer.get_type_name(), f"{layer.get_friendly_name()!r:.80}"
        if kind in _HELD_BACK or not str(layer.get_type_info().version_id).startswith("opset"):
            yield f"uses the op {kind!r:.80}, which no build writes"
        if any(port.get_partial_shape().is_dynamic for port in layer.outputs()):
            yield f"computes {label}, whose shape is not static"
    yield from _interface_problems("input", model.inputs, manifest.inputs_of(role))
    yield from _interface_problems("output", model.outputs, manifest.outputs_of(role))
    if (peak := peak_bytes(model, stored)) > max_memory:
        yield f"would take {in_bytes(peak)} of memory, more than the {in_bytes(max_memory)} that are allowed"


def _interface_problems(direction: str, ports: Sequence[Any], expected: Mapping[str, TensorSpec]) -> Iterator[str]:
    """Of several names of a tensor any is as good."""
    found = {name: port for port in ports for name in port.get_names()}
    if len(ports) != len(expected):
        yield f"has {len(ports)} {direction}s, the manifest says {len(expected)}"
    for name, spec in expected.items():
        promised = f"{_TYPES[spec.dtype]} {list(spec.shape)}"
        port = found.get(name)
        has = "none" if port is None else f"{port.get_element_type().get_type_name()} {list(port.get_shape())!s:.80}"
        if has != promised:
            yield f"has the {direction} {name!r:.80} as {has}, the manifest says {promised}"


def peak_bytes(model: openvino.Model, stored: int) -> int:
    """What running a model takes: the tensors that are alive at once, and constants that are in no file.

    Args:
        model: with static shapes.
        stored: bytes of constants that the weights file accounts for.
    """
    layers = model.get_ordered_ops()
    constants = sum(_nbytes(layer.output(0)) for layer in layers if layer.get_type_name() == _CONSTANT)
    computed = [layer for layer in layers if layer.get_type_name() != _CONSTANT]
    last: dict[tuple[str, int], int] = {}
    for place, layer in enumerate(computed):
        last |= {_key(port.get_source_output()): place for port in layer.inputs()}
    ends: dict[int, int] = {}
    alive = peak = max(0, constants - stored)
    for place, layer in enumerate(computed):
        for port in layer.outputs():
            size, end = _nbytes(port), last.get(_key(port), place)
            alive, ends[end] = alive + size, ends.get(end, 0) + size
        peak = max(peak, alive)
        alive -= ends.get(place, 0)
    return peak


def _key(port: Any) -> tuple[str, int]:
    """The name that a node has by itself is its own, unlike the one that its file gives it."""
    return port.get_node().get_name(), port.get_index()


def _nbytes(port: Any) -> int:
    count = 1
    for length in port.get_shape():
        count *= length
    return count * int(port.get_element_type().size)
