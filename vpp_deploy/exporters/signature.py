"""What goes into a graph and what comes out: names, shapes, dtypes, and an example to trace with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vpp_deploy.bundle.manifest import DType, GraphRole, StateSpec, TensorSpec
from vpp_deploy.errors import ExportError

_DTYPES: dict[torch.dtype, DType] = {
    torch.float32: "float32",
    torch.int32: "int32",
    torch.uint8: "uint8",
    torch.bool: "bool",
}


@dataclass(frozen=True)
class GraphSignature:
    """One graph's inputs and outputs, in graph order.

    Attributes:
        role: which graph of the bundle.
        inputs: without state.
        outputs: without state.
        state: outputs of every graph, inputs of the step graph.
        example: a tensor for each input, state last.
    """

    role: GraphRole
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    state: tuple[StateSpec, ...]
    example: tuple[Tensor, ...]

    @property
    def input_names(self) -> list[str]:
        """All inputs, state last."""
        return [tensor.name for tensor in self.inputs] + [state.input for state in self._state_inputs]

    @property
    def output_names(self) -> list[str]:
        """All outputs, state last."""
        return [tensor.name for tensor in self.outputs] + [state.output for state in self.state]

    @property
    def _state_inputs(self) -> tuple[StateSpec, ...]:
        return self.state if self.role == "step" else ()


def tensor_spec(name: str, tensor: Tensor) -> TensorSpec:
    """The specification of a graph input or output like `tensor`."""
    return TensorSpec(name=name, dtype=dtype_of(tensor), shape=tuple(tensor.shape))


def state_specs(names: Iterable[str], tensors: Iterable[Tensor]) -> tuple[StateSpec, ...]:
    """The specifications of a state, in order: of each tensor the name, and one like it."""
    return tuple(
        StateSpec(
            name=name,
            dtype=dtype_of(tensor),
            shape=tuple(tensor.shape),
            input=f"state_in_{number:02}_{name}",
            output=f"state_out_{number:02}_{name}",
        )
        for number, (name, tensor) in enumerate(zip(names, tensors, strict=True))
    )


def dtype_of(tensor: Tensor) -> DType:
    """A tensor's type by its name in manifests.

    Raises:
        ExportError: a type that graphs may not take or give.
    """
    if tensor.dtype not in _DTYPES:
        known = ", ".join(_DTYPES.values())
        raise ExportError(f"a graph cannot take or give {tensor.dtype}; cast it to one of {known}")
    return _DTYPES[tensor.dtype]
