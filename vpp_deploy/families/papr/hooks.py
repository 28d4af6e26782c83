"""Changing what goes into or comes out of one module of a library's model, for the duration of one forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from vpp_deploy.errors import ExportError

Change = Callable[[Tensor], Tensor]


@contextmanager
def changed_input(module: nn.Module, change: Change) -> Iterator[None]:
    """Inside the block, `module` gets `change(x)` instead of its first argument `x`.

    Raises:
        ExportError: the module was not called inside the block, so the change would be silently lost.
    """
    calls = 0

    def hook(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal calls
        calls += 1
        return (change(arguments[0]), *arguments[1:])

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    _require_calls(module, calls)


@contextmanager
def changed_output(module: nn.Module, change: Change) -> Iterator[None]:
    """Inside the block, `module` gives `change(y)` instead of `y`.

    Raises:
        ExportError: the module was not called inside the block.
    """
    calls = 0

    def hook(_: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return change(output)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    _require_calls(module, calls)


def _require_calls(module: nn.Module, calls: int) -> None:
    if calls == 0:
        raise ExportError(f"the model's forward never calls its {type(module).__name__} that PaPr prunes at")
