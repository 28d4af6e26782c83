"""Looks at the weights of a model that is about to be exported, wherever they come from."""

from __future__ import annotations

import copy
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint.fitting import FLOATS, handful

_WHOLE: Final = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
Module = TypeVar("Module", bound=nn.Module)


def check_weights(model: nn.Module, name: str, allow_nonfinite: bool = False) -> None:
    """See that a model's weights are plain numbers, and none of them NaN or infinite.

    A buffer may hold minus infinity: attention masks do.

    Args:
        model: about to be exported.
        name: of the model, for messages.
        allow_nonfinite: do not look for NaN and infinity.

    Raises:
        CheckpointError: naming the tensors.
    """
    parameters = dict(model.named_parameters())
    state = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    odd = [f"{key} is {kind}" for key, tensor in state.items() if (kind := _odd_kind(tensor, key in parameters))]
    if odd:
        raise CheckpointError(f"{len(odd)} weights of {name} cannot be exported: {handful(odd)}")
    if allow_nonfinite:
        return
    bad = {key: count for key, tensor in state.items() if (count := _nonfinite(tensor, key in parameters))}
    if bad:
        listed = handful([f"{key} ({count} of {state[key].numel()})" for key, count in bad.items()])
        raise CheckpointError(
            f"{len(bad)} weights of {name} hold NaN or infinity: {listed}; its results would mean nothing "
            "(--allow-nonfinite exports it all the same; in Python allow_nonfinite=True)"
        )


def in_float32(model: Module) -> Module:
    """A copy of a model in float32; the same one if its parameters are."""
    if all(parameter.dtype == torch.float32 for parameter in model.parameters()):
        return model
    return copy.deepcopy(model).float()


def _odd_kind(tensor: Tensor, is_parameter: bool) -> str | None:
    if tensor.layout is not torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    if tensor.is_meta:
        return "a meta tensor, without numbers"
    if tensor.is_quantized:
        return "quantised"
    if tensor.dtype in FLOATS or (tensor.dtype in _WHOLE and not is_parameter):
        return None
    return str(tensor.dtype).removeprefix("torch.")


def _nonfinite(tensor: Tensor, is_parameter: bool) -> int:
    if not tensor.dtype.is_floating_point:
        return 0
    bad = ~tensor.detach().isfinite()
    if not is_parameter:
        bad &= ~tensor.detach().isneginf()
    return int(bad.sum())
