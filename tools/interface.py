"""What users' programs and scripts lean on, as data: public names with their parameters, commands with their options.

    python -m tools.interface        # after a change on purpose, writes tests/interface.json anew

A test compares. What a difference means: a name, parameter, option or exit code that is new is a minor version; one
that is gone, renamed or has another default breaks programs, so the old form works until the next minor version with a
warning, and CHANGELOG.md says so under "Changed" or "Removed".
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, Final

import vpp_deploy
from vpp_deploy.cli.commands import whole
from vpp_deploy.errors import ExitCode

FILE: Final = Path(__file__).parents[1] / "tests" / "interface.json"


def interface() -> dict[str, Any]:
    """Python's names, the commands and the exit codes."""
    group: Any = whole()
    return {
        "python": {name: _parameters(getattr(vpp_deploy, name)) for name in sorted(vpp_deploy.__all__)},
        "commands": {name: _options(command) for name, command in sorted(group.commands.items())},
        "exit codes": {code.name: int(code) for code in ExitCode},
    }


def _parameters(thing: object) -> list[str] | None:
    """Of a function, or of making an object of a class, followed by the class's public names; None of anything else."""
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return None
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):  # of an exception
        parameters = ()  # type: ignore[assignment]
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    found = []
    for one in parameters:
        optional = one.kind not in stars and one.default is not one.empty
        found.append(stars.get(one.kind, "") + one.name + ("?" if optional else ""))
    if inspect.isclass(thing):
        ours = [base for base in thing.__mro__ if base.__module__.startswith(vpp_deploy.__name__)]
        names = {name for base in ours for name in vars(base) if not name.startswith("_")}
        found += [f".{name}" for name in sorted(names)]
    return found


def _options(command: Any) -> dict[str, Any]:
    return {
        " ".join(one.opts + one.secondary_opts): "required" if one.required else str(one.default)
        for one in command.params
        if not one.hidden
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(interface(), indent=1) + "\n", encoding="utf-8")
