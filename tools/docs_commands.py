"""The reference of the command line, from what the parser itself knows: the same as `--help`, as a page."""

from __future__ import annotations

import re
from typing import Any

from rich.text import Text

from vpp_deploy.cli.commands import whole


def page() -> str:
    """The page, in Markdown: a section for each command."""
    group: Any = whole()
    first = ["# Commands", "", _plain(group.help), "", *_table(group), *_examples(group)]
    sections = [first, *(_section(name, command) for name, command in group.commands.items())]
    return "\n".join(line for section in sections for line in section) + "\n"


def _section(name: str, command: Any) -> list[str]:
    arguments = [_metavar(one) for one in command.params if one.param_type_name == "argument"]
    return [
        f"## {name}",
        "",
        f"`{' '.join(['vpp-deploy', name, '[OPTIONS]', *arguments])}`",
        "",
        _plain(command.help),
        "",
        *_examples(command),
        *_table(command),
    ]


def _examples(command: Any) -> list[str]:
    lines = _plain(command.epilog).splitlines()[1:]  # without the heading
    return ["```", *lines, "```", ""] if lines else []


def _table(command: Any) -> list[str]:
    """Arguments and options, in the order and under the headings of the help page."""
    panels: dict[str, list[Any]] = {}
    for one in command.params:
        if not one.hidden:
            usual = "Arguments" if one.param_type_name == "argument" else "Options"
            panels.setdefault(one.rich_help_panel or usual, []).append(one)
    lines: list[str] = []
    for panel, parameters in panels.items():
        rows = [f"| {_names(one)} | {_cell(one.help or '')} | {_default(one)} |" for one in parameters]
        lines += [f"| {panel} | | |", "| --- | --- | --- |", *rows, ""]
    return lines


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{_metavar(one)}`"
    names = ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])
    return f"{names} `{_metavar(one)}`" if _metavar(one) and not one.is_flag else names


def _metavar(one: Any) -> str:
    return one.name.upper() if one.metavar is None else str(one.metavar)


def _default(one: Any) -> str:
    if one.required:
        return "required"
    if isinstance(one.show_default, str):
        return _cell(one.show_default)
    shown = one.show_default and not getattr(one, "is_flag", False) and one.default is not None
    return f"`{getattr(one.default, 'value', one.default)}`" if shown else ""


def _cell(text: str) -> str:
    return re.sub(r"([|<*_])", r"\\\1", " ".join(_plain(text).split()))


def _plain(text: str) -> str:
    """Without the marks of the terminal."""
    return Text.from_markup(text).plain.strip()
