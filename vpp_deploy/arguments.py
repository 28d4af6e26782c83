"""Arguments of public functions: a value of the wrong type is an error of our own, before anything is done."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache, wraps
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from vpp_deploy.errors import UsageError

Given = ParamSpec("Given")
Result = TypeVar("Result")

_NUMBERS: Final[dict[object, type]] = {int: Integral, float: Real}
_WORDS: Final[dict[object, str]] = {
    PathLike: "a path",
    Path: "a path",
    str: "text",
    int: "a whole number",
    float: "a number",
    Fraction: "a fraction",
    bool: "True or False",
    Callable: "a function",
    types.NoneType: "None",
}
"""Types that are checked, besides the package's classes. A hint of any other is for the function to look into."""


def checked(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """A function that sees first that its arguments are of the types that it is annotated with.

    Paths, text, numbers, flags, functions, None and the package's own classes are told apart. What is annotated as
    anything else passes.

    Raises:
        UsageError: an argument is of another type.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def wrapper(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # a name that there is not, or one too few: Python's own words say it
            return function(*args, **kwargs)
        hints = _hints(function)
        for name, value in given.items():
            if name in hints:
                check_type(name, value, hints[name])
        return function(*args, **kwargs)

    return wrapper


def check_fields(options: object) -> None:
    """See that the fields of a dataclass object are of the types that they are annotated with; see `checked`.

    Raises:
        UsageError: one is not.
    """
    for name, hint in get_type_hints(type(options)).items():
        check_type(name, getattr(options, name), hint)


def check_type(name: str, value: object, hint: object) -> None:
    """See that a value is what a hint says; see `checked`.

    Raises:
        UsageError: it is not.
    """
    parts = list(_parts(hint))
    words = [_words(part) for part in parts if part is not str or not {Path, PathLike} & {*parts}]
    if None not in words and not any(_is(value, part) for part in parts):
        raise UsageError(f"{name} is {' '.join(repr(value).split()):.80}; give {' or '.join(filter(None, words))}")


@cache
def _hints(function: Callable[..., Any]) -> dict[str, object]:
    """The hints of the parameters, but for those that name what only a type checker imports, and for `*` and `**`."""
    found: dict[str, object] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.annotation is Any:
            continue
        alone = types.SimpleNamespace(__annotations__={name: parameter.annotation})
        try:
            found |= get_type_hints(alone, getattr(function, "__globals__", {}))
        except NameError:  # whatever a function is called with, it is one
            if str(parameter.annotation).startswith("Callable["):
                found[name] = Callable
    return found


def _parts(hint: object) -> Iterator[object]:
    """The types of a union, without what stands in brackets: `str`, `PathLike` and `NoneType`."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for part in get_args(hint):
            yield from _parts(part)
    else:
        yield hint if origin in (None, Literal) else origin


def _is(value: object, part: Any) -> bool:
    if get_origin(part) is Literal:
        return isinstance(value, str | int) and value in get_args(part)
    if part is Callable:
        return callable(value)
    return isinstance(value, _NUMBERS.get(part, part)) and (part is bool or not isinstance(value, bool))


def _words(part: object) -> str | None:
    """What to call a type; None for one that is not looked into."""
    if get_origin(part) is Literal:
        return " or ".join(map(repr, get_args(part)))
    if (
        isinstance(part, type)
        and part.__module__.startswith("vpp_deploy.")
        and not getattr(part, "_is_protocol", False)
    ):
        return f"a {part.__name__}"
    return _WORDS.get(part)
