"""Options of families, tasks and backends: fields of dataclasses that Python and the command line read alike.

```python
@dataclass(frozen=True)
class MyOptions:
    \"\"\"Options of my models.\"\"\"

    batch: int = option(1, "Images that the graph takes at once.", metavar="N", minimum=1)
```

gives `vd.export(..., batch=8)` and `vpp-deploy export ... --batch 8`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from vpp_deploy.errors import UsageError

Options = TypeVar("Options")
Progress = Callable[[str], None]
"""Called with a line about each step; one that is a `Step` says more."""
MOST: Final = 2**31 - 1
"""What a number may be at most, where nothing bounds it sooner."""
MOST_SEED: Final = 2**32 - 1
_METADATA: Final = "vpp_deploy.option"
_NUMBERS: Final = {int: "a whole number", float: "a number"}


class Step(str):
    """A line about a step that begins, and how far the work then usually is.

    Attributes:
        share: of the whole time, in [0, 1].
    """

    share: float

    def __new__(cls, line: str, share: float) -> Step:
        """A line with a share."""
        step = super().__new__(cls, line)
        step.share = share
        return step


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: of the dataclass field.
        flag: as it is typed on the command line: `--max-tracks`.
        type: of one value on the command line: `bool` (a flag), `int`, `float`, `str` or `Path`.
        repeated: it can be given several times, and the field is a tuple.
        default: when it is not given.
        help: what it does, one sentence.
        metavar: what stands for a value in the help.
        shown: the default in words; None for no default in the help.
        minimum: least number; None for none.
        maximum: greatest number.
        scale: what a number on the command line is multiplied with; None for 1.
    """

    name: str
    flag: str
    type: type
    repeated: bool
    default: Any
    help: str
    metavar: str
    shown: str | None
    minimum: int | None
    maximum: int
    scale: int | None


def option(
    default: Any,
    help: str,  # noqa: A002 - the command line's own word
    *,
    flag: str | None = None,
    metavar: str = "",
    shown: str | None = None,
    minimum: int | None = None,
    maximum: int = MOST,
    scale: int | None = None,
    type: type | None = None,  # noqa: A002
) -> Any:
    """A dataclass field that is an option.

    Args:
        default: when it is not given.
        help: what it does, one sentence.
        flag: as it is typed on the command line; None for the field's name, with dashes.
        metavar: what stands for a value in the help.
        shown: the default in words, where the value does not say it.
        minimum: least number.
        maximum: greatest number, on the command line (see `scale`).
        scale: what a number on the command line is multiplied with, such as 2**20 for an option in MiB.
        type: of a value on the command line, where Python takes more (a file there, a list here).
    """
    return field(
        default=default,
        metadata={
            _METADATA: {
                "help": help,
                "flag": flag,
                "metavar": metavar,
                "shown": shown,
                "minimum": minimum,
                "maximum": maximum,
                "scale": scale,
                "type": type,
            }
        },
    )


@dataclass(frozen=True)
class NoOptions:
    """Options of what has none."""


def options_of(kind: type) -> tuple[Option, ...]:
    """The options that a dataclass declares, in order. Fields without `option` are for Python alone."""
    hints = get_type_hints(kind)
    found = []
    for item in fields(kind):
        settings = item.metadata.get(_METADATA)
        if settings is None:
            continue
        value_type, repeated = _value_type(hints[item.name])
        found.append(
            Option(
                name=item.name,
                default=None if item.default is MISSING else item.default,
                repeated=repeated,
                **{
                    **settings,
                    "type": settings["type"] or value_type,
                    "flag": settings["flag"] or f"--{item.name.replace('_', '-')}",
                },
            )
        )
    return tuple(found)


def make_options(kind: type[Options], given: Mapping[str, Any], owner: str) -> Options:
    """The options that were given, and the defaults of the others.

    Args:
        kind: the dataclass.
        given: values by field name.
        owner: what takes these options, for messages.

    Raises:
        UsageError: an option that there is not, or a number that is none, too small or too great.
    """
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    if unknown := [name for name in given if name not in known]:
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise UsageError(f"{owner} has no option {', '.join(unknown)}; {has}")
    for declared in options_of(kind):
        value, name = given.get(declared.name), declared.name.replace("_", " ")
        if value is None or declared.repeated or declared.type not in (int, float):
            continue
        is_number = isinstance(value, Integral if declared.type is int else Real) and not isinstance(value, bool)
        if not is_number:
            raise UsageError(f"{name} is {value!r:.80}; it must be {_NUMBERS[declared.type]}")
        if declared.minimum is not None and not value >= declared.minimum:
            raise UsageError(f"{name} is {value}; it must be at least {declared.minimum}")
        most = declared.maximum * (declared.scale or 1)
        if not value <= most:
            raise UsageError(f"{name} is {value}; it must be at most {most}")
    return kind(**given)


def check_seed(name: str, value: object) -> None:
    """See that a value is a seed.

    Raises:
        UsageError: it is no whole number from 0 to `MOST_SEED`.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not 0 <= int(value) <= MOST_SEED:
        raise UsageError(f"{name} is {value!r:.80}; give a whole number from 0 to {MOST_SEED}")


def _value_type(hint: Any) -> tuple[type, bool]:
    """The type of one value, and whether there can be several: `int | None` is int, `tuple[str, ...]` str."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is tuple:
        return get_args(hint)[0], True
    return (hint if isinstance(hint, type) else str), False


def is_given(value: Any) -> bool:
    """Whether a value from a command line was given; 0 is, a flag that is off is not."""
    return value is not None and value is not False and value != ()
