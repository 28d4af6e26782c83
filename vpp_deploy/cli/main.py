"""The entry point: the commands, and what becomes of errors."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from vpp_deploy._version import __version__
from vpp_deploy.cli import (
    build_engine,
    demo,
    demo_data,
    doctor,
    evaluate,
    export,
    infer,
    inspect,
    models,
    parity,
)
from vpp_deploy.cli.failures import INTERRUPTED, describe
from vpp_deploy.cli.options import examples, flag
from vpp_deploy.errors import ExitCode
from vpp_deploy.terminal import console

_FLOW = (
    "vpp-deploy export vpp-small --checkpoint epoch_6.pth -o small.bundle",
    "vpp-deploy build-engine small.bundle",
    "vpp-deploy infer small.bundle street.mp4 -o tracked.mp4",
    "vpp-deploy parity small.bundle --input street.mp4",
)
_COMMANDS = {
    "export": export,
    "build-engine": build_engine,
    "infer": infer,
    "parity": parity,
    "evaluate": evaluate,
    "inspect": inspect,
    "models": models,
    "doctor": doctor,
    "demo": demo,
    "demo-data": demo_data,
}

app = typer.Typer(
    name="vpp-deploy",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _module in _COMMANDS.items():
    _command = _module.make_command() if hasattr(_module, "make_command") else _module.command
    app.command(_name, epilog=examples(_module.EXAMPLES))(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.say(f"vpp-deploy {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=examples(_FLOW))
def _root(
    context: typer.Context,
    version: Annotated[
        bool, flag("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, flag("--debug", help="Show the traceback of an error. Also works after a command.")] = False,
) -> None:
    """Export a token-pruned video model to a bundle, build engines from it, run them on videos, prove them equal.

    The four commands at the bottom are the whole way. No checkpoint at hand? Try `vpp-deploy demo`.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        The exit status, see `ExitCode`; 130 after Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that lacks a character must not stop a command
        sys.stdout.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        outcome = typer.main.get_command(app).main(
            [word for word in words if word != "--debug"], prog_name="vpp-deploy", standalone_mode=False
        )
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except (KeyboardInterrupt, typer.Abort):
        outcome = INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        label, message, code = describe(error)
        console.fail(label, message)
        return code
    if outcome == INTERRUPTED:
        console.fail("interrupted", "stopped by Ctrl-C")
    return int(outcome or ExitCode.OK)
