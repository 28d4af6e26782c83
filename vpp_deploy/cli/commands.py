"""The commands, and the options that stand before them.

A command's module is imported when the command is asked for: the page that lists them all, and every other command, do
without.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from vpp_deploy._version import __version__
from vpp_deploy.cli.help_pages import examples, flag

_FLOW = (
    "vpp-deploy export vpp-small --checkpoint epoch_6.pth -o small.bundle",
    "vpp-deploy build-engine small.bundle",
    "vpp-deploy infer small.bundle street.mp4 -o tracked.mp4",
    "vpp-deploy parity small.bundle --input street.mp4",
)
_COMMANDS: Final = {
    "export": "Export a model with its weights to a bundle: ONNX graphs, one weights file and a manifest. Needs "
    "PyTorch.",
    "quantize": "Quantise the matrix products of a bundle, with ranges measured on data. Needs no PyTorch.",
    "build-engine": "Build an engine from a bundle's graphs and store it in the bundle; tensorrt-rtx needs no GPU for "
    "that.",
    "infer": "Run a bundle's engine over a video or images; without an output, just report how it went and what was "
    "found.",
    "live": "Run a bundle's engine over live sources until they end, or Ctrl-C: of each the newest frame, in a stream "
    "of its own. A source that breaks off is opened again; none keeps the others waiting.",
    "batch": "Run a bundle over a corpus, video by video; the same command again goes on from there. Exit status 1 if "
    "any failed.",
    "triton": "Write a model repository for NVIDIA's Triton Inference Server: videos as sequences, classifiers in "
    "batches.",
    "parity": "Run the same frames through PyTorch and an engine, compare every output and state, and note it in the "
    "bundle.",
    "evaluate": "Score engines on a data set: AP of tracks, mAP of boxes and masks; of classifiers top-1 and top-5.",
    "benchmark": "Time engines and peers side by side, alternating call by call; ratios come with a 95 % confidence "
    "interval.",
    "report": "Write one HTML file that stands for itself: model, tokens and arithmetic, parity, frames, speed, "
    "accuracy.",
    "inspect": "Show what a bundle holds: model, tokens kept, tensors, where it came from, its engines and their "
    "parity.",
    "models": "List what `vpp-deploy export` knows: models, what can be kept of them, and what goes with them.",
    "doctor": "Show what is installed and which engines can be built and run on this machine. Never fails.",
    "demo": "Go the whole way in about a minute: make a clip and a small bundle, build, infer, check parity. Needs "
    "PyTorch.",
    "demo-data": "Write videos of moving shapes, with masks and tracks, in YouTube-VIS layout. The same options, the "
    "same bytes.",
}
"""How the command's own page begins, by name."""


def module_of(name: str) -> Any:
    """The module of a command: its `EXAMPLES`, and `command` or `make_command`."""
    return importlib.import_module(f"vpp_deploy.cli.{name.replace('-', '_')}")


def load(name: str) -> Any:
    """The command of a name."""
    module = module_of(name)
    alone = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False)
    command = module.make_command() if hasattr(module, "make_command") else module.command
    alone.command(name, cls=_Command, epilog=examples(module.EXAMPLES))(command)
    return typer.main.get_command(alone)


class _Command(TyperCommand):
    """A command whose name every error of the parser carries: that of an option without its value lacks it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See the base class."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            raise


class _Commands(TyperGroup):
    """Of each command the name and the first line, until it is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, begin in _COMMANDS.items():
            self.add_command(TyperCommand(name, help=begin), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is to run, and its own words."""
        if args[0] in _COMMANDS:
            self.add_command(load(args[0]), args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="vpp-deploy",
    cls=_Commands,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from vpp_deploy.terminal import console

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


def whole() -> Any:
    """The group with every command loaded, for whoever looks at them all."""
    group: Any = typer.main.get_command(app)
    for name in _COMMANDS:
        group.add_command(load(name), name)
    return group
