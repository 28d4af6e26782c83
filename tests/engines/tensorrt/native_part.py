"""The native part of the package `tensorrt`, as far as NVIDIA's Python files for plugins use it; put into its place.

Its rules are those of the real one: integer attributes arrive as arrays of one element (`PluginField.data` in the
bindings), and an expression builder is only good for the call that it is given to (`IExprBuilder`, NvInferRuntime.h).
"""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

DataType = Enum("DataType", "FLOAT HALF BF16 INT8 INT32 INT64 BOOL UINT8 FP8 INT4 FP4")
float32, float16, bfloat16, int32 = DataType.FLOAT, DataType.HALF, DataType.BF16, DataType.INT32
TensorFormat = Enum("TensorFormat", "LINEAR CHW2 HWC8")
PluginFieldType = Enum("PluginFieldType", "FLOAT16 FLOAT32 FLOAT64 INT8 INT16 INT32 INT64 CHAR UNKNOWN")
PluginArgType = Enum("PluginArgType", "INT")
PluginArgDataType = Enum("PluginArgDataType", "INT8 INT16 INT32")
DimensionOperation = Enum("DimensionOperation", "SUM PROD MAX MIN SUB EQUAL LESS FLOOR_DIV CEIL_DIV")
TensorRTPhase = Enum("TensorRTPhase", "BUILD RUNTIME")
QuickPluginCreationRequest = Enum("QuickPluginCreationRequest", "UNKNOWN PREFER_JIT PREFER_AOT STRICT_JIT STRICT_AOT")


class _Interface:
    pass


class IPluginV3(_Interface):
    pass


class IPluginV3QuickCore(_Interface):
    pass


class IPluginV3QuickBuild(_Interface):
    pass


class IPluginV3QuickRuntime(_Interface):
    pass


class IPluginV3QuickAOTBuild(_Interface):
    pass


class IPluginCreatorV3Quick(_Interface):
    pass


class ISymExpr(_Interface):
    pass


class ITensor(_Interface):
    pass


class Logger:
    WARNING = 2

    def log(self, severity: int, message: str) -> None:
        pass


class PluginField(SimpleNamespace):
    def __init__(self, name: str, data: Any, type: PluginFieldType) -> None:  # noqa: A002
        super().__init__(name=name, data=data, type=type)


class PluginFieldCollection(list):
    pass


class Dims(tuple):
    MAX_DIMS = 8


class DimsExprs(list):
    def __init__(self, length: int) -> None:
        super().__init__([None] * length)


class PluginTensorDesc(SimpleNamespace):
    pass


class DynamicPluginTensorDesc(SimpleNamespace):
    pass


class IDimensionExpr:
    def __init__(self, value: int) -> None:
        self.value = value

    def is_constant(self) -> bool:
        return True

    def get_constant_value(self) -> int:
        return self.value


class IExprBuilder:
    """Good until `expired`; the real one is a dangling pointer then."""

    expired = False

    def constant(self, value: int) -> IDimensionExpr:
        if self.expired:
            raise RuntimeError("an expired expression builder was used")
        return IDimensionExpr(value)


_creators: dict[tuple[str, str], Any] = {}


def get_plugin_registry() -> Any:
    return SimpleNamespace(
        register_creator=lambda creator, namespace: _creators.update({(namespace, creator.name): creator}),
        get_creator=lambda name, version, namespace: _creators.get((namespace, name)) or _by_name(name, namespace),
    )


def _by_name(name: str, namespace: str) -> Any:
    # `_TemplatePluginCreator.__init__` reuses the variable `name` for its attributes; the namespace tells enough
    return next(creator for (space, _), creator in _creators.items() if space == namespace)


def build(name: str, namespace: str, inputs: list[tuple[tuple[int, ...], DataType]], attributes: dict[str, int]) -> Any:
    """What a builder asks of one plugin layer, in its order: its output's shape and type, and its launch."""
    fields = PluginFieldCollection(
        PluginField(key, np.array([value], np.int32), PluginFieldType.INT32) for key, value in attributes.items()
    )
    creator = get_plugin_registry().get_creator(name, "1", namespace)
    plugin = creator.create_plugin(name, namespace, fields, TensorRTPhase.BUILD, QuickPluginCreationRequest.STRICT_AOT)
    types = plugin.get_output_data_types([kind for _, kind in inputs], [len(shape) for shape, _ in inputs])
    builder = IExprBuilder()
    shapes = plugin.get_output_shapes([[IDimensionExpr(n) for n in shape] for shape, _ in inputs], [], builder)
    output = tuple(expression.get_constant_value() for expression in shapes[0])
    builder.expired = True
    described = [*inputs, (output, types[0])]
    in_out = [
        DynamicPluginTensorDesc(
            desc=PluginTensorDesc(dims=Dims(shape), type=kind, format=TensorFormat.LINEAR, scale=1.0)
        )
        for shape, kind in described
    ]
    plugin.get_supported_format_combinations(in_out, len(inputs))
    plugin.configure_plugin(in_out[:-1], in_out[-1:])
    plugin.set_tactic(next(iter(plugin.get_valid_tactics()), 0))
    builder, launch, extra = IExprBuilder(), SimpleNamespace(), _Extra()
    plugin.get_launch_params(None, in_out, len(inputs), launch, extra, builder)
    builder.expired = True
    entry, ptx = plugin.get_kernel([each.desc for each in in_out[:-1]], [in_out[-1].desc])
    return SimpleNamespace(
        output=(output, types[0].name),
        entry=entry,
        ptx=ptx,
        grid=tuple(getattr(launch, f"grid_{axis}").expr.get_constant_value() for axis in "xyz"),
        extra=[extra[place].expr.get_constant_value() for place in range(extra.nbSymExprs)],
    )


class _Extra(dict):
    nbSymExprs = 0  # noqa: N815 - NVIDIA's name
