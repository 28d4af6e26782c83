"""Command line options from records: what families, tasks and backends declare becomes part of a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.errors import UsageError
from vpp_deploy.options import Option, is_given, options_of


@dataclass(frozen=True)
class Source:
    """A record whose options a command has.

    Attributes:
        name: of the record.
        models: what has these options, for messages, e.g. `VPP models`.
        panel: heading of the options in the help.
        options: the dataclass.
    """

    name: str
    models: str
    panel: str
    options: type


def with_record_options(command: Callable[..., None], sources: Iterable[Source]) -> Callable[..., None]:
    """A command that also takes the options of records. It gets them, those that were given, as `given`.

    Args:
        command: a function with a keyword argument `given`.
        sources: of the options. An option that several declare is one option, in the panel of the first.

    Raises:
        UsageError: see `options_by_name`; or an option that the command has itself.
    """
    own = [item for item in inspect.signature(command, eval_str=True).parameters.values() if item.name != "given"]
    declared = options_by_name(sources, taken=[item.name for item in own])
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if option.type is bool else None,
            annotation=_annotation(option, panel_of(owners)),
        )
        for name, (option, owners) in declared.items()
    ]

    def composed(**values: Any) -> None:
        given = {name: _scaled(option, values.pop(name)) for name, (option, _) in declared.items()}
        command(**values, given={name: value for name, value in given.items() if is_given(value)})

    parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own] + added
    composed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    composed.__annotations__ = {item.name: item.annotation for item in parameters}
    composed.__doc__ = command.__doc__
    composed.__name__ = command.__name__
    return composed


def options_by_name(sources: Iterable[Source], taken: Collection[str] = ()) -> dict[str, tuple[Option, list[Source]]]:
    """Every option by its name, and whose it is.

    Args:
        sources: of the options.
        taken: names that none of them may use.

    Raises:
        UsageError: two records mean different types by the same name, or one uses a name that is taken.
    """
    found: dict[str, tuple[Option, list[Source]]] = {}
    for source in sources:
        for option in options_of(source.options):
            if option.name in taken:
                raise UsageError(f"{option.flag} of {source.name} is an option of every model; it must rename its own")
            if option.name not in found:
                found[option.name] = option, [source]
                continue
            first, owners = found[option.name]
            if (first.type, first.repeated) != (option.type, option.repeated):
                raise UsageError(
                    f"{option.flag} is {first.type.__name__} for {owners[0].name} and {option.type.__name__} for "
                    f"{source.name}; one of them must rename it"
                )
            owners.append(source)
    return found


def refuse_foreign(
    given: Mapping[str, Any],
    sources: Iterable[Source],
    mine: str,
    subject: str,
    unused: Mapping[str, str] | None = None,
) -> None:
    """See that the options that were given are those of one record.

    Args:
        given: options by name.
        sources: all that the command has.
        mine: name of the record that will get them.
        subject: what they were given for.
        unused: names of options that mean nothing to it, and why.

    Raises:
        UsageError: some are for others, or mean nothing.
    """
    declared = options_by_name(sources)
    foreign = [name for name in given if all(owner.name != mine for owner in declared[name][1])]
    if foreign:
        owners = list(dict.fromkeys(owner.models for name in foreign for owner in declared[name][1]))
        joined = " and ".join([", ".join(owners[:-1]), owners[-1]] if len(owners) > 1 else owners)
        flags = ", ".join(declared[name][0].flag for name in foreign)
        raise UsageError(f"{flags}: for {joined}, not for {subject}; leave it out")
    for name in given:
        if unused and name in unused:
            raise UsageError(f"{declared[name][0].flag}: {subject} {unused[name]}; leave it out")


def load_options_for(
    engine: str, given: Mapping[str, Any], loading: Mapping[str, tuple[Option, list[Source]]]
) -> dict[str, Any]:
    """What an engine is loaded with, of the options that were given.

    Args:
        engine: name of the backend.
        given: options by name; those of no backend are left out.
        loading: the load options of all backends, see `options_by_name`.

    Raises:
        UsageError: one is for other engines.
    """
    load_options = {name: value for name, value in given.items() if name in loading}
    for name in load_options:
        declared, owners = loading[name]
        if all(owner.name != engine for owner in owners):
            meant_for = " and ".join(owner.name for owner in owners)
            raise UsageError(f"{declared.flag} is for {meant_for}, not for {engine}; leave it out")
    return load_options


def panel_of(owners: list[Source]) -> str:
    """The heading of an option's panel."""
    return " and ".join(dict.fromkeys(owner.panel for owner in owners))


def _annotation(option: Option, panel: str) -> Any:
    if option.type is bool:
        return Annotated[bool, flag(option.flag, help=option.help, rich_help_panel=panel)]
    kind: Any = list[option.type] if option.repeated else option.type  # type: ignore[name-defined]
    shown = option.shown
    if shown is None and option.default not in (None, ()):
        shown = str(option.default)
    settings = typer.Option(
        option.flag,
        metavar=option.metavar or None,
        help=option.help,
        show_default=shown or False,
        min=option.minimum,
        max=option.maximum if option.type is int else None,
        rich_help_panel=panel,
    )
    return Annotated[kind | None, settings]


def _scaled(option: Option, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return value if option.scale is None or value is None else value * option.scale
