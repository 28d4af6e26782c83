"""What PyTorch and the libraries refuse, told as the fault of the bundle that asks for it. Needs no PyTorch itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from vpp_deploy.errors import ConfigError

if TYPE_CHECKING:
    from vpp_deploy.bundle.reader import Bundle

_REFUSALS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What PyTorch and the libraries raise for sizes that no model has."""


@contextmanager
def refusals_of(bundle: Bundle) -> Iterator[None]:
    """Inside the block, what PyTorch refuses to make or to run is the fault of the bundle's configuration.

    Raises:
        ConfigError: for such an error.
    """
    try:
        yield
    except _REFUSALS as error:
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise ConfigError(
            f"bundle {bundle.path}: its model configuration does not make a model that runs ({reason}); export it again"
        ) from error
