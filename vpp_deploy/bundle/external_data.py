"""One weights file for several ONNX graphs and for PyTorch.

ONNX external data means "these bytes of that file", and a safetensors file is a header followed by plain tensors. So
the initializers of the `init` and the `step` graph point into one safetensors file, which also loads as a checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.errors import ExportError, OutputError
from vpp_deploy.files.atomic import atomic_file

PAGE: Final = 4096
"""Alignment in bytes of the tensor data in the file, so that a runtime can map it into memory."""

GRAPH_PREFIX: Final = "graph/"
"""Before the names of tensors that belong to a graph and not to the model."""

_PAYLOAD_FIELDS: Final = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")

Bytes = npt.NDArray[np.uint8]


class _DType(NamedTuple):
    safetensors: str
    onnx: int
    numpy: str
    itemsize: int


_DTYPES: Final = (
    _DType("F64", TensorProto.DOUBLE, "float64", 8),
    _DType("F32", TensorProto.FLOAT, "float32", 4),
    _DType("F16", TensorProto.FLOAT16, "float16", 2),
    _DType("BF16", TensorProto.BFLOAT16, "bfloat16", 2),
    _DType("I64", TensorProto.INT64, "int64", 8),
    _DType("I32", TensorProto.INT32, "int32", 4),
    _DType("I16", TensorProto.INT16, "int16", 2),
    _DType("I8", TensorProto.INT8, "int8", 1),
    _DType("U64", TensorProto.UINT64, "uint64", 8),
    _DType("U32", TensorProto.UINT32, "uint32", 4),
    _DType("U16", TensorProto.UINT16, "uint16", 2),
    _DType("U8", TensorProto.UINT8, "uint8", 1),
    _DType("F8_E4M3", TensorProto.FLOAT8E4M3FN, "float8_e4m3fn", 1),
    _DType("BOOL", TensorProto.BOOL, "bool", 1),
)
_BY_ONNX: Final = {dtype.onnx: dtype for dtype in _DTYPES}
_BY_NUMPY: Final = {dtype.numpy: dtype for dtype in _DTYPES}


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor to be stored; `read` gives its little-endian bytes, so that only one copy is alive at a time."""

    dtype: _DType
    shape: tuple[int, ...]
    read: Callable[[], Bytes]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @property
    def content(self) -> tuple[str, str]:
        """Equal for tensors that can share bytes. The shape is left out: it is the graph that holds it."""
        return self.dtype.safetensors, sha256_of_bytes(self.read().data)


def externalize(
    models: Mapping[str, onnx.ModelProto],
    weights_path: Path,
    *,
    state_dict: Mapping[str, npt.NDArray[Any]] | None = None,
    min_bytes: int = 1024,
) -> None:
    """Move the large tensors of several ONNX models into one safetensors file, each content once.

    Afterwards every initializer of at least `min_bytes` is ONNX external data (`location` is the bare file name, so
    the models must be saved in the same folder; `offset` counts from the start of the file). Large `Constant` nodes
    become initializers on the way. Tensors inside model-local functions and of types that safetensors lacks stay.

    Args:
        models: the models by a short name (`init`, `step`), changed in place, but only after the file is written.
        weights_path: the file to write.
        state_dict: tensors that are stored under exactly these names, whether a graph uses them or not, so that the
            file is a PyTorch checkpoint too. Initializers with the same dtype and bytes point to them; the others are
            stored as `graph/<model>/<initializer>`.
        min_bytes: smaller initializers stay in the graph, where shape inference can see them.

    Raises:
        ExportError: a tensor of the state dict has a dtype that safetensors lacks; an initializer has the wrong size
            or is external already.
        OutputError: the file cannot be written.
    """
    stored: dict[str, _Tensor] = {}
    keys: dict[tuple[str, str], str] = {}
    for name, array in (state_dict or {}).items():
        stored[name] = _tensor_of_array(name, array)
        keys.setdefault(stored[name].content, name)

    pointers: list[tuple[TensorProto, str]] = []
    for model_name, model in models.items():
        for initializer in _large_initializers(model.graph, max(min_bytes, 1)):
            label = f"{model_name}/{initializer.name}"
            tensor = _tensor_of_initializer(label, initializer)
            content = tensor.content
            if content not in keys:
                keys[content] = _unused_key(f"{GRAPH_PREFIX}{label}", stored)
                stored[keys[content]] = tensor
            pointers.append((initializer, keys[content]))

    try:
        offsets = _write_safetensors(weights_path, stored)
    except OSError as error:
        raise OutputError(f"cannot write the weights file {weights_path}: {error.strerror or error}") from error
    for initializer, key in pointers:
        _point(initializer, weights_path.name, offsets[key], stored[key].nbytes)


def item_bytes(data_type: int) -> int | None:
    """Bytes of an element of an ONNX tensor type; None for a type that no bundle holds."""
    dtype = _BY_ONNX.get(data_type)
    return dtype.itemsize if dtype else None


def _tensor_of_array(name: str, array: npt.NDArray[Any]) -> _Tensor:
    dtype = _BY_NUMPY.get(array.dtype.name) if array.dtype.isnative else None
    if dtype is None:
        known = ", ".join(_BY_NUMPY)
        raise ExportError(
            f"state dict: {name!r} has dtype {array.dtype.str}, which safetensors cannot hold: use {known}"
        )
    return _Tensor(dtype, array.shape, lambda: array.reshape(-1).view(np.uint8))


def _tensor_of_initializer(label: str, initializer: TensorProto) -> _Tensor:
    if initializer.data_location == TensorProto.EXTERNAL:
        raise ExportError(f"initializer {label!r} is external data already: load the model with its external data")
    dtype, shape = _BY_ONNX[initializer.data_type], tuple(initializer.dims)

    def read() -> Bytes:
        if not initializer.HasField("raw_data"):
            return numpy_helper.to_array(initializer).reshape(-1).view(np.uint8)
        data = np.frombuffer(initializer.raw_data, np.uint8)
        if data.nbytes != (expected := prod(shape) * dtype.itemsize):
            raise ExportError(f"initializer {label!r} holds {data.nbytes} bytes, its shape {shape} needs {expected}")
        return data

    return _Tensor(dtype, shape, read)


def _large_initializers(graph: onnx.GraphProto, min_bytes: int) -> Iterator[TensorProto]:
    """The initializers of a graph and its subgraphs that have at least `min_bytes`, lifted constants included."""
    _lift_constants(graph, min_bytes)
    yield from (initializer for initializer in graph.initializer if _is_large(initializer, min_bytes))
    for node in graph.node:
        for attribute in node.attribute:
            for subgraph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _large_initializers(subgraph, min_bytes)


def _is_large(tensor: TensorProto, min_bytes: int) -> bool:
    dtype = _BY_ONNX.get(tensor.data_type)
    return dtype is not None and prod(tensor.dims) * dtype.itemsize >= min_bytes


def _lift_constants(graph: onnx.GraphProto, min_bytes: int) -> None:
    """Turn large `Constant` nodes into initializers: not every runtime takes external data in an attribute."""
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
            continue
        if node.attribute[0].name == "value" and _is_large(node.attribute[0].t, min_bytes):
            initializer = graph.initializer.add()
            initializer.CopyFrom(node.attribute[0].t)
            initializer.name = node.output[0]
            del graph.node[index]


def _unused_key(key: str, used: Container[str]) -> str:
    candidates = chain([key], (f"{key}.{number}" for number in count(2)))
    return next(candidate for candidate in candidates if candidate not in used)


def _write_safetensors(path: Path, tensors: Mapping[str, _Tensor]) -> dict[str, int]:
    """Write the file and give each tensor's offset from the start of the file, in bytes.

    The format allows no gaps between tensors. With the data starting on a page and tensors sorted by the largest power
    of two that divides their size, every tensor is still aligned to that power, hence at least to its item size.
    """
    order = sorted(tensors, key=lambda key: _alignment(tensors[key].nbytes), reverse=True)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for key in order:
        tensor = tensors[key]
        end = begin + tensor.nbytes
        header[key] = {"dtype": tensor.dtype.safetensors, "shape": tensor.shape, "data_offsets": (begin, end)}
        begin = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-(8 + len(encoded)) % PAGE)
    with atomic_file(path) as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for key in order:
            file.write(tensors[key].read().data)
    return {key: 8 + len(encoded) + header[key]["data_offsets"][0] for key in order}


def _alignment(nbytes: int) -> int:
    return min(nbytes & -nbytes, PAGE) if nbytes else PAGE


def _point(initializer: TensorProto, location: str, offset: int, length: int) -> None:
    for field in _PAYLOAD_FIELDS:
        initializer.ClearField(field)
    initializer.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        initializer.external_data.add(key=key, value=value)
