"""The commands, and the options that stand before them."""

from __future__ import annotations

from typing import Annotated

import typer

from vpp_deploy._version import __version__
from vpp_deploy.cli import (
    batch,
    benchmark,
    build_engine,
    demo,
    demo_data,
    doctor,
    evaluate,
    export,
    infer,
    inspect,
    live,
    models,
    parity,
    quantize,
    report,
    triton,
)
from vpp_deploy.cli.options import examples, flag
from vpp_deploy.terminal import console

_FLOW = (
    "vpp-deploy export vpp-small --checkpoint epoch_6.pth -o small.bundle",
    "vpp-deploy build-engine small.bundle",
    "vpp-deploy infer small.bundle street.mp4 -o tracked.mp4",
    "vpp-deploy parity small.bundle --input street.mp4",
)
_COMMANDS = {
    "export": export,
    "quantize": quantize,
    "build-engine": build_engine,
    "infer": infer,
    "live": live,
    "batch": batch,
    "triton": triton,
    "parity": parity,
    "evaluate": evaluate,
    "benchmark": benchmark,
    "report": report,
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
