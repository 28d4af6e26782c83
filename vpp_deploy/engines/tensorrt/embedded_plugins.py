"""The `vpp` ops as TensorRT's quickly deployable plugins, ahead of time: engines carry the kernels' PTX themselves.

Such an engine runs without a plugin library and without Python. Written against the Python bindings of TensorRT 11.4,
whose own checks accept the definitions; no engine has been built with them yet.

TensorRT reads a function's signature to learn a plugin's inputs and attributes, so signatures are made from the ops.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vpp_deploy.engines.tensorrt import embedded_kernels
from vpp_deploy.engines.tensorrt.embedded_kernels import Launch
from vpp_deploy.ops import OPS, PLUGIN_NAMESPACES

Tensors = Sequence[Any]
"""TensorRT's descriptions of tensors."""
Attributes = Sequence[int]


@dataclass(frozen=True, slots=True)
class _Plugin:
    """What TensorRT asks of a plugin.

    Attributes:
        name: as graphs call it.
        inputs: names of the inputs.
        attributes: names of the attributes.
        output: from descriptions of the inputs and from attributes to the output's symbolic shape and type; None for
            int32.
        launch: from the same to the launch of the kernel.
    """

    name: str
    inputs: tuple[str, ...]
    attributes: tuple[str, ...]
    output: Callable[[Tensors, Attributes], tuple[tuple[Any, ...], Any]]
    launch: Callable[[Tensors, Attributes], Launch]

    @classmethod
    def of_op(
        cls,
        name: str,
        output: Callable[[Tensors, Attributes], tuple[tuple[Any, ...], Any]],
        launch: Callable[[Tensors, Attributes], Launch],
    ) -> _Plugin:
        """The plugin that takes an op's node as it is."""
        op = OPS[name]
        assert op.plugin is not None
        return cls(op.plugin, op.inputs, op.attributes, output, launch)


_PLUGINS: Final = (
    _Plugin.of_op(
        "SelectTokens",
        lambda inputs, attributes: ((inputs[0].shape_expr[0], attributes[0]), None),
        lambda inputs, attributes: embedded_kernels.select(inputs[0].shape, attributes[0], bool(attributes[1])),
    ),
    _Plugin.of_op(
        "GatherTokens",
        lambda inputs, _: (
            (inputs[0].shape_expr[0], inputs[1].shape_expr[1], inputs[0].shape_expr[2]),
            inputs[0].dtype,
        ),
        lambda inputs, _: embedded_kernels.gather(inputs[0].shape, inputs[1].shape[1], _name(inputs[0])),
    ),
    _Plugin.of_op(
        "ScatterTokens",
        lambda inputs, _: (tuple(inputs[0].shape_expr), inputs[0].dtype),
        lambda inputs, _: embedded_kernels.scatter(inputs[0].shape, inputs[1].shape[1], _name(inputs[0])),
    ),
    # AssociateTokens, see its lowering `embedded`.
    _Plugin(
        "VppAssociateParts",
        OPS["AssociateTokens"].inputs,
        ("rows", "columns", "parts"),
        lambda inputs, attributes: ((inputs[0].shape_expr[0], attributes[2], inputs[0].shape_expr[1], 2), None),
        lambda inputs, attributes: embedded_kernels.associate_parts(
            inputs[0].shape, inputs[1].shape[1], (attributes[0], attributes[1]), attributes[2], _name(inputs[0])
        ),
    ),
    _Plugin(
        "VppAssociateBest",
        ("candidates",),
        (),
        lambda inputs, _: ((inputs[0].shape_expr[0], inputs[0].shape_expr[2]), None),
        lambda inputs, _: embedded_kernels.associate_best(inputs[0].shape),
    ),
)


def register(trt: Any, trtp: Any) -> None:
    """Register the plugins with TensorRT, for the parser to find; once in a process.

    Args:
        trt: the package `tensorrt`.
        trtp: the module `tensorrt.plugin`.
    """
    for plugin in _PLUGINS:
        _register(trt, trtp, plugin)


def _register(trt: Any, trtp: Any, plugin: _Plugin) -> None:
    inputs = dict.fromkeys(plugin.inputs, trtp.TensorDesc)
    attributes = dict.fromkeys(plugin.attributes, int)
    identifier = f"{PLUGIN_NAMESPACES['embedded']}::{plugin.name}"

    description = _signature({**inputs, **attributes}, trtp.TensorDesc)

    def describe(*arguments: Any, **keywords: Any) -> Any:
        values = list(description.bind(*arguments, **keywords).arguments.values())
        shape, dtype = plugin.output(values[: len(inputs)], values[len(inputs) :])
        return trtp.from_shape_expr(shape, dtype=trt.int32 if dtype is None else dtype)

    result = tuple[str, str, trtp.KernelLaunchParams, trtp.SymIntExprs]
    implementation = _signature(
        {**inputs, **attributes, "outputs": tuple[trtp.TensorDesc], "tactic": int},
        result,
    )

    def implement(*arguments: Any, **keywords: Any) -> tuple[str, str, Any, Any]:
        *values, _, _ = implementation.bind(*arguments, **keywords).arguments.values()
        launch = plugin.launch(values[: len(inputs)], values[len(inputs) :])
        extra = trtp.SymIntExprs(len(launch.arguments))
        for place, value in enumerate(launch.arguments):
            extra[place] = trtp.SymInt32(value)
        x, y, z = launch.grid
        parameters = trtp.KernelLaunchParams(
            grid_x=x, grid_y=y, grid_z=z, block_x=launch.block, shared_mem=launch.shared_bytes
        )
        return launch.entry, embedded_kernels.ptx(launch.entry), parameters, extra

    trtp.register(identifier)(_with_signature(describe, description))
    trtp.aot_impl(identifier)(_with_signature(implement, implementation))


def _signature(parameters: dict[str, Any], result: Any) -> inspect.Signature:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    annotated = [inspect.Parameter(name, kind, annotation=annotation) for name, annotation in parameters.items()]
    return inspect.Signature(annotated, return_annotation=result)


def _with_signature(function: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _name(tensor: Any) -> str:
    """`float32`, `float16` or `bfloat16`; TensorRT calls them FLOAT, HALF and BF16."""
    return {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}[tensor.dtype.name]
