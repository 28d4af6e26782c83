"""What an op definition holds, and the text form of its function bodies.

An op lives in one file: its PyTorch reference, its symbol in a traced graph, a portable ONNX function body (generic
over shapes, so that one body serves every node of a model), and lowerings for single backends (specialised to a
node's shapes and attributes). Bodies are ONNX text (`onnx.parser`), which needs neither PyTorch nor onnxscript.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt
import onnx

if TYPE_CHECKING:
    import torch

DOMAIN = "vpp"
VERSION = 1
OPSET = 20

Shape = tuple[int, ...]


@dataclass(frozen=True)
class NodeSignature:
    """What a lowering may specialise on: a node's attributes and the static shapes of its inputs."""

    attributes: Mapping[str, Any]
    input_shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Body:
    """A function body: ONNX text statements, and arrays that the statements name as constants."""

    text: str
    constants: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


Lowering = Callable[[NodeSignature], Body | None]
"""A specialised body, or None where the portable one is the best there is."""
Fits = Callable[[Mapping[str, int], Mapping[str, Any]], bool]
"""Whether attributes fit the lengths of the inputs, by their letters."""
_MOST: Final = 2**31
"""Above every length and every whole number in an attribute."""


def _always_fits(lengths: Mapping[str, int], attributes: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True)
class OpDefinition:
    """One op of the `vpp` domain.

    Attributes:
        name: op type.
        inputs: formal input names of the bodies.
        shapes: the shape of each input, a letter or a digit for each axis: the same letter is the same length.
        output: formal output name of the bodies.
        attributes: attribute names; in the portable body `@name` refers to them.
        moves_values: whether it moves or picks values and multiplies none: a decision on its output then rests on the
            products that give its inputs. False for an op with products inside, which computes them in float32: a
            decision on its output rests on those.
        decides: whether its output depends on how values of its inputs compare, such as which of them is largest: the
            products that give them are then kept in float32. False for an op that decides on products of its own.
        portable: the generic body that travels with every exported model.
        lowerings: bodies for single backends (`onnxruntime`, `openvino`, `tensorrt`); a backend without one uses the
            portable body. `embedded`: of several embedded plugins for TensorRT, where one would not do.
        plugin: name of the TensorRT plugin that takes the node's inputs and attributes as they are; None where there is
            none, and the node is always lowered.
        native: whether the library of custom ops for ONNX Runtime has it (cpp/onnxruntime_ops) and takes the node as it
            is.
        fits: whether attributes fit the lengths of the inputs.
    """

    name: str
    inputs: tuple[str, ...]
    shapes: tuple[str, ...]
    output: str
    attributes: tuple[str, ...]
    moves_values: bool
    decides: bool
    portable: Body
    lowerings: Mapping[str, Lowering] = field(default_factory=dict)
    plugin: str | None = None
    native: bool = False
    fits: Fits = _always_fits

    def misfit(self, signature: NodeSignature) -> str | None:
        """What is wrong with a node of this op, in words; None if nothing is.

        Args:
            signature: an axis of unknown length is 0 there.
        """
        if signature.attributes.keys() != set(self.attributes):
            return f"has the attributes {list(signature.attributes)} instead of {list(self.attributes)}"
        for name, value in signature.attributes.items():
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(number, int) and 0 <= number < _MOST for number in values):
                return f"has {name} = {value!r:.40}"
        if len(signature.input_shapes) != len(self.shapes):
            return f"has {len(signature.input_shapes)} inputs instead of {len(self.shapes)}"
        lengths: dict[str, int] = {}
        for name, shape, axes in zip(self.inputs, signature.input_shapes, self.shapes, strict=True):
            expected = [
                int(axis) if axis.isdigit() else lengths.setdefault(axis, length)
                for axis, length in zip(axes, shape, strict=False)
            ]
            if list(shape) != expected or len(shape) != len(axes) or not all(0 < length < _MOST for length in shape):
                return f"has {name} of shape {list(shape)}, where [{', '.join(axes)}] belongs with {lengths}"
        if not self.fits(lengths, signature.attributes):
            return f"has {dict(signature.attributes)!s:.80}, which does not fit inputs of {lengths}"
        return None

    def portable_function(self) -> onnx.FunctionProto:
        """The model-local function that makes a `vpp` node run on any ONNX runtime."""
        return self._function(DOMAIN, self.name, self.attributes, self.portable)

    def lowered_function(self, backend: str, signature: NodeSignature, name: str, domain: str) -> onnx.FunctionProto:
        """A function `domain::name` that computes the node with `signature` in the backend's favourite way."""
        lowering = self.lowerings.get(backend)
        body = lowering(signature) if lowering else None
        if body is None:
            return self._function(domain, name, self.attributes, self.portable)
        return self._function(domain, name, (), body)

    def _function(self, domain: str, name: str, attributes: Sequence[str], body: Body) -> onnx.FunctionProto:
        signature = f"<{', '.join(attributes)}>" if attributes else ""
        imports = f'"" : {OPSET}' + (f', "{DOMAIN}" : {VERSION}' if f"{DOMAIN}." in body.text else "")
        function = onnx.parser.parse_function(
            f'<opset_import: [{imports}], domain: "{domain}">\n'
            f"{name} {signature} ({', '.join(self.inputs)}) => ({self.output}) {{\n{body.text}\n}}"
        )
        constants = [
            onnx.helper.make_node("Constant", [], [key], value=onnx.numpy_helper.from_array(value, key))
            for key, value in body.constants.items()
        ]
        statements = list(function.node)
        del function.node[:]
        function.node.extend([*constants, *statements])
        return function


def emit_symbol(
    op: str,
    inputs: Sequence[torch.Tensor],
    attributes: Mapping[str, int | Sequence[int]],
    dtype: torch.dtype,
    shape: Sequence[int],
) -> torch.Tensor:
    """A `vpp::op` node in the graph that `torch.onnx.export` traces."""
    import torch

    return torch.onnx.ops.symbolic(
        f"{DOMAIN}::{op}",
        list(inputs),
        {name: value if isinstance(value, int) else list(value) for name, value in attributes.items()},
        dtype=dtype,
        shape=list(shape),
        version=VERSION,
    )


def exporting() -> bool:
    """True while `torch.onnx.export` traces the model: ops then emit their symbol instead of computing."""
    import torch

    return torch.onnx.is_in_onnx_export()
