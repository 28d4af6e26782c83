"""Objects that belong to one thread at a time, and say so instead of computing something wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import get_ident
from typing import Concatenate, Final, ParamSpec, TypeVar

from vpp_deploy.errors import StreamError

Owner = TypeVar("Owner")
Given = ParamSpec("Given")
Result = TypeVar("Result")

_INSIDE: Final = "_thread_inside"


def one_thread(method: Callable[Concatenate[Owner, Given], Result]) -> Callable[Concatenate[Owner, Given], Result]:
    """A method that only one thread at a time may be in, as in all other such methods of the same object.

    They do not call each other.

    Raises:
        StreamError: another thread is in one.
    """

    @wraps(method)
    def wrapper(self: Owner, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        attributes, thread = vars(self), get_ident()
        try:  # what a signal's handler raises between two lines leaves nothing behind either
            if attributes.setdefault(_INSIDE, thread) != thread:
                raise StreamError(
                    f"{type(self).__name__}.{method.__name__}: another thread is using it; give each thread a session "
                    "of its own, or frames of many streams to a SessionPool"
                )
            return method(self, *args, **kwargs)
        finally:
            if attributes.get(_INSIDE) == thread:
                attributes.pop(_INSIDE, None)

    return wrapper
