"""Writing INT8 or FP8 into a graph: QuantizeLinear and DequantizeLinear around its products, symmetric.

That form is what ONNX Runtime, OpenVINO, TensorRT (explicit quantisation) and TensorRT-RTX all read. Weights stay
float32 in the weights file and are rounded by nodes, which every builder folds: so the file remains a checkpoint, and
the PyTorch reference of a quantised bundle is the model that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from vpp_deploy.engines.protocols import Array
from vpp_deploy.quantization.products import Product

Scale = npt.NDArray[np.float32] | np.float32
_TINY: Final = 1e-12
"""Least range of a weight's channel, for those of zeros."""


def int8_ranges(weight: Array, axis: int) -> npt.NDArray[np.float32]:
    """The range of each output channel of a weight in INT8.

    Processors without VNNI add the products of two neighbours in 16 bits, and an activation can be 255 there: with
    ranges of the largest weight such sums saturate, and results are wrong. So a matrix gets ranges in which two
    neighbours of one sign add up to no more than one largest value. That costs a third of a bit.

    Args:
        weight: `[K, N]`, `[N, K]` or of a convolution `[N, C, kh, kw]`.
        axis: that of the output channels.

    Returns:
        `[N]`, positive.
    """
    if weight.ndim != 2:
        return largest_weights(weight, axis)
    rows = np.moveaxis(weight, axis, 0)
    rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    sums = (np.maximum(sign * rows, 0.0).reshape(len(rows), -1, 2).sum(2).max(1) for sign in (1, -1))
    return _positive(np.maximum(*sums))


def largest_weights(weight: Array, axis: int) -> npt.NDArray[np.float32]:
    """The largest absolute value of each output channel of a weight; see `int8_ranges`."""
    return _positive(np.abs(np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)).max(1))


def _positive(ranges: Array) -> npt.NDArray[np.float32]:
    positive: npt.NDArray[np.float32] = np.maximum(ranges, _TINY).astype(np.float32)
    return positive


@dataclass(frozen=True, kw_only=True)
class QuantisedType:
    """A type that products are quantised to.

    Attributes:
        name: of the precision, and in the names of tensors.
        onnx: a `TensorProto.DataType`.
        largest: its largest value.
        weight_ranges: `(weight, axis)`: the range of each output channel.
    """

    name: str
    onnx: int
    largest: float
    weight_ranges: Callable[[Array, int], npt.NDArray[np.float32]]


INT8: Final = QuantisedType(name="int8", onnx=TensorProto.INT8, largest=127.0, weight_ranges=int8_ranges)
FP8: Final = QuantisedType(name="fp8", onnx=TensorProto.FLOAT8E4M3FN, largest=448.0, weight_ranges=largest_weights)
"""E4M3 without infinities, as Ada and later GPUs multiply it."""


def quantise(
    model: onnx.ModelProto, products: Sequence[Product], ranges: Mapping[str, float], to: QuantisedType
) -> None:
    """Make products compute in a quantised type, in place.

    Args:
        model: a bundle's graph.
        products: some of its products.
        ranges: largest absolute value of each of `Product.tensors`.
        to: the type.
    """
    _Writer(model, ranges, to, ()).write(products)


def quantise_by_choice(
    model: onnx.ModelProto,
    products: Sequence[Product],
    ranges: Mapping[str, float],
    to: QuantisedType,
    groups: Collection[str],
) -> None:
    """The same with a choice: each group gets a bool input, and its products round nothing where that is false.

    So one session can measure every choice; its values are those of the type, its arithmetic is float32.

    Args:
        model: a bundle's graph; changed in place.
        products: some of its products.
        ranges: largest absolute value of each of `Product.tensors`.
        to: the type.
        groups: those of the products; of `switch(group)`, each is an input, also those that this graph lacks.
    """
    add_switches(model, groups)
    _Writer(model, ranges, to, groups).write(products)


def add_switches(model: onnx.ModelProto, groups: Collection[str]) -> None:
    """Give a graph `switch(group)` of each group as an input, a bool."""
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(switch(group), TensorProto.BOOL, []) for group in groups
    )


def switch(group: str) -> str:
    """Name of the input that says whether a group rounds."""
    return f"quantise/{group}"


class _Writer:
    """One pass over a graph.

    Args:
        model: is changed.
        ranges: of activations.
        to: the type.
        groups: those with a switch.
    """

    def __init__(
        self, model: onnx.ModelProto, ranges: Mapping[str, float], to: QuantisedType, groups: Collection[str]
    ) -> None:
        self._graph, self._ranges, self._to, self._groups = model.graph, ranges, to, groups
        self._nodes: list[NodeProto] = []
        self._rounded: dict[str, str] = {}  # what became of a tensor
        self._chosen: dict[tuple[str, str], str] = {}  # the same, by group

    def write(self, products: Sequence[Product]) -> None:
        """Round the inputs of products, and the results of convolutions."""
        by_name = {product.name: product for product in products}
        for node in self._graph.node:
            product = by_name.get(node.output[0])
            if product is None:
                self._nodes.append(node)
                continue
            lowered = NodeProto()
            lowered.CopyFrom(node)
            scale = np.float32(self._ranges[product.activation] / self._to.largest)
            lowered.input[0] = self._round(product.activation, scale, product)
            scales = self._to.weight_ranges(product.weight, product.axis) / np.float32(self._to.largest)
            lowered.input[1] = self._round(node.input[1], scales, product, product.axis)
            self._nodes.append(lowered)
            if product.is_convolution:
                lowered.output[0] = f"{product.name}/unrounded"
                scale = np.float32(self._ranges[product.name] / self._to.largest)
                self._round(lowered.output[0], scale, product, result=product.name)
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)

    def _round(
        self, tensor: str, scale: Scale, product: Product, axis: int | None = None, result: str | None = None
    ) -> str:
        """A tensor as the type holds it, as far as the group of a product rounds."""
        if not self._groups:
            return self._pair(tensor, scale, product, axis, result)
        if (known := self._chosen.get((tensor, product.group))) is not None:
            return known
        rounded = self._pair(tensor, scale, product, axis, None)
        chosen = result or f"{rounded}/{product.group}"
        self._add("Where", [switch(product.group), rounded, tensor], chosen, product, {})
        self._chosen[tensor, product.group] = chosen
        return chosen

    def _pair(self, tensor: str, scale: Scale, product: Product, axis: int | None, result: str | None) -> str:
        if tensor in self._rounded:
            return self._rounded[tensor]
        prefix = f"{tensor}/{self._to.name}"
        attributes = {} if axis is None else {"axis": axis}
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(scale), f"{prefix}/scale"))
        zeros = bytes(np.size(scale))
        shape = np.shape(scale)
        self._graph.initializer.append(
            onnx.helper.make_tensor(f"{prefix}/zero_point", self._to.onnx, shape, zeros, raw=True)
        )
        constants = [f"{prefix}/scale", f"{prefix}/zero_point"]
        rounded = result or prefix
        self._add("QuantizeLinear", [tensor, *constants], f"{prefix}/quantized", product, attributes)
        self._add("DequantizeLinear", [f"{prefix}/quantized", *constants], rounded, product, attributes)
        self._rounded[tensor] = rounded
        return rounded

    def _add(self, op: str, inputs: list[str], output: str, product: Product, attributes: Mapping[str, Any]) -> None:
        name = f"{product.node.name}/{op}_{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(op, inputs, [output], name=name, **attributes))
