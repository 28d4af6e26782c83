"""What a runtime raises in Python, told apart from what only came by while it worked."""

from __future__ import annotations

from vpp_deploy.files import interrupts


def is_raised_by(error: Exception, package: str) -> bool:
    """Whether a runtime raised an error: one of its package's types, or of Python's own, which its bindings use.

    Not so `TimeoutError`, which no runtime raises, and types of somebody else's: they come out of another thread.

    Args:
        error: what a call of it raised.
        package: the runtime's.

    Raises:
        Exception: the error, if the handler of a signal raised it.
    """
    interrupts.let_pass(error)
    return type(error).__module__.partition(".")[0] in (package, "builtins") and not isinstance(error, TimeoutError)
