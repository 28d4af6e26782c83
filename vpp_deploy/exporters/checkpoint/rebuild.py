"""PyTorch's functions that make tensors while unpickling, as records of the tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import torch

from vpp_deploy.exporters.checkpoint.records import OPAQUE, Global, Object, Storage, TensorRecord, UnreadableError

STORAGE_TYPES: Final = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "QInt8Storage": torch.qint8,
    "QUInt8Storage": torch.quint8,
    "QInt32Storage": torch.qint32,
    "QUInt4x2Storage": torch.quint4x2,
    "QUInt2x4Storage": torch.quint2x4,
    "UntypedStorage": torch.uint8,
}
_MAX_DIMENSIONS: Final = 64
_MAX_SIZE: Final = 2**48
Rebuild = Callable[..., Any]


def storage_of(identifier: Any) -> Any:
    """What a persistent identifier of PyTorch means: a storage, or (in files before 1.6) a class with its source."""
    if not isinstance(identifier, tuple) or len(identifier) < 2:
        raise UnreadableError("refers to something outside itself that is not a storage of PyTorch")
    if identifier[0] == "module":
        return identifier[1]
    if identifier[0] != "storage" or len(identifier) not in (5, 6):
        raise UnreadableError("refers to something outside itself that is not a storage of PyTorch")
    storage_type, key, location = identifier[1:4]
    view = identifier[5] if len(identifier) == 6 else None
    if not isinstance(storage_type, Global) or not isinstance(key, str):
        raise UnreadableError("has a storage without type or key")
    type_name = storage_type.name.removeprefix("_")
    if storage_type.module.partition(".")[0] != "torch" or type_name not in STORAGE_TYPES:
        return OPAQUE  # a tensor on it has no numbers
    start = 0
    if view is not None:
        if not isinstance(view, tuple) or len(view) != 3 or not _is_count(view[1]):
            raise UnreadableError("has a damaged view of a storage")
        start = view[1]
    return Storage(key, type_name, location if isinstance(location, str) else "", start)


def rebuild_of(function: Any) -> Rebuild | None:
    """What makes the record of a tensor instead of a function of PyTorch; None for any other function."""
    if not isinstance(function, Global):
        return None
    return _REBUILDS.get((function.module, function.name))


def as_tensor(value: Any) -> TensorRecord | None:
    """The tensor that a value is, also one as PyTorch before 0.2 wrote it: a class, then its four parts."""
    if isinstance(value, TensorRecord):
        return value
    if not isinstance(value, Object) or not isinstance(value.maker, Global):
        return None
    if value.maker.module.partition(".")[0] != "torch" or not value.maker.name.endswith(("Tensor", "Parameter")):
        return None
    for parts in (value.state, value.arguments):
        if isinstance(parts, tuple) and parts:
            if len(parts) == 4 and isinstance(parts[0], Storage):
                return _tensor(*parts)
            if isinstance(parts[0], TensorRecord):
                return parts[0]
    return None


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> TensorRecord:
    dtype = STORAGE_TYPES[storage.type_name] if isinstance(storage, Storage) else torch.float32
    return _record(storage, offset, size, stride, dtype, rest[2] if len(rest) > 2 else None)


def _tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> TensorRecord:
    return _record(storage, offset, size, stride, _dtype(dtype), metadata)


def _record(storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype, metadata: Any) -> TensorRecord:
    size, stride = _counts(size), _counts(stride)
    if len(size) != len(stride) or not _is_count(offset):
        raise UnreadableError("has a tensor of an impossible shape")
    if not isinstance(storage, Storage):
        return TensorRecord(dtype, size, stride, offset, None, "pickled apart from its numbers")
    steps = [step for n, step in zip(size, stride, strict=True) if n > 1]
    record = TensorRecord(dtype, size, stride, offset + storage.start, storage)
    kind = ""
    if storage.location == "meta":
        kind = "a meta tensor, without numbers"
    elif storage.type_name.startswith("Q"):
        kind = "quantised"
    elif 0 in steps:
        kind = "expanded (of stride 0)"
    elif math.prod(size) > max(record.extent - record.offset, 0):
        kind = "overlapping itself"
    elif isinstance(metadata, dict) and any(metadata.values()):
        kind = "a conjugate or negative view"
    return TensorRecord(dtype, size, stride, record.offset, storage, kind)


def _odd(kind: str) -> Rebuild:
    return lambda *arguments: TensorRecord(torch.float32, (), (), 0, None, kind)


def _meta(dtype: Any, size: Any, *rest: Any) -> TensorRecord:
    return TensorRecord(_dtype(dtype), _counts(size), (), 0, None, "a meta tensor, without numbers")


def _first(data: Any, *rest: Any) -> Any:
    return data


def _from_type(function: Any, kind: Any, arguments: Any, *state: Any) -> Any:
    rebuild = rebuild_of(function)
    if rebuild is None or rebuild is _from_type or not isinstance(arguments, tuple):
        return Object(kind, arguments)
    return rebuild(*arguments)


def _dtype(value: Any) -> torch.dtype:
    dtype = getattr(torch, value.name, None) if isinstance(value, Global) and value.module == "torch" else None
    if not isinstance(dtype, torch.dtype):
        raise UnreadableError("has a tensor of an unknown type of number")
    return dtype


def _counts(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)) or len(value) > _MAX_DIMENSIONS or not all(map(_is_count, value)):
        raise UnreadableError("has a tensor of an impossible shape")
    return tuple(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_SIZE


_REBUILDS: Final[dict[tuple[str, str], Rebuild]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _first,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): _odd("of another device, stored as a NumPy array"),
    ("torch._utils", "_rebuild_xla_tensor"): _odd("of another device, stored as a NumPy array"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _meta,
    ("torch._utils", "_rebuild_nested_tensor"): _odd("nested"),
    ("torch._utils", "_rebuild_qtensor"): _odd("quantised"),
    ("torch._utils", "_rebuild_sparse_tensor"): _odd("sparse"),
    ("torch._utils", "_rebuild_sparse_csr_tensor"): _odd("sparse"),
    ("torch._utils", "_rebuild_wrapper_subclass"): _odd("a tensor subclass without numbers of its own"),
    ("torch._tensor", "_rebuild_from_type"): _from_type,
    ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    ("torch.tensor", "_rebuild_from_type"): _from_type,
    ("torch", "Size"): _first,
}
