"""Configurations of models as plain data, as manifests keep them, and back: held to their types."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Final, Literal, Self, Union

from vpp_deploy.errors import ConfigError
from vpp_deploy.options import MOST

MOST_LAYERS: Final = 256
"""More than any model has: a bound on what a manifest can ask for."""


class PlainConfig:
    """Base of the dataclasses that a manifest keeps as the configuration of a model."""

    def to_dict(self) -> dict[str, Any]:
        """A form that JSON keeps; `from_dict` reads it."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))  # type: ignore[call-overload]
        return plain

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The configuration in a bundle's manifest; fields with a default may be missing.

        Raises:
            ConfigError: fields that are missing, unknown, of another type, or out of their range.
        """
        try:
            made: Self = _dataclass(cls, content, "")
        except ConfigError as error:
            raise ConfigError(f"model configuration: {error}; export the bundle again") from error
        return made


def check_range(owner: str, values: Mapping[str, int | float], lowest: float = 1, highest: float = MOST) -> None:
    """See that numbers of a configuration are in their range.

    Raises:
        ConfigError: naming the first that is not, and the range.
    """
    for name, value in values.items():
        if not lowest <= value <= highest:
            raise ConfigError(f"{owner}: {name} is {value}; it must be from {lowest:g} to {highest:g}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _dataclass(kind: Any, content: Any, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise _wrong(where, content, "an object")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := content.keys() - fields.keys():
        raise ConfigError(f"unknown fields {', '.join(sorted(map(str, unknown)))}")
    needed = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing := [name for name in needed if name not in content]:
        raise ConfigError(f"no field {', '.join(f'{where}{name}' for name in missing)}")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, f"{where}{name}") for name, value in content.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, f"{where}.")
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (other,) = (argument for argument in arguments if argument is not type(None))
        return _value(other, value, where)
    if origin is Literal:
        if value not in arguments:
            raise _wrong(where, value, f"one of {', '.join(arguments)}")
        return value
    if origin is tuple:
        return _tuple(arguments, value, where)
    if kind is float and type(value) in (int, float) and -MOST <= value <= MOST:  # never of NaN
        return value
    if type(value) is not kind or (kind is int and abs(value) > MOST):
        raise _wrong(where, value, {int: "a whole number", float: "a number"}.get(kind, kind.__name__))
    return value


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(where, value, "an array")
    if arguments[-1] is Ellipsis:
        arguments = arguments[:1] * len(value)
    if len(arguments) != len(value):
        raise _wrong(where, value, f"an array of {len(arguments)}")
    return tuple(_value(kind, each, where) for kind, each in zip(arguments, value, strict=True))


def _wrong(where: str, value: Any, expected: str) -> ConfigError:
    return ConfigError(f"{where or 'it'} is {repr(value)[:60]}; it must be {expected}")
