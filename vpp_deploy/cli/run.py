"""One command: from words to an exit status."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from signal import SIGINT
from typing import Final

import typer

from vpp_deploy.cli.commands import app
from vpp_deploy.cli.failures import describe
from vpp_deploy.cli.libraries import keep_to_quota, quiet, send_nothing
from vpp_deploy.errors import ExitCode, UsageError
from vpp_deploy.files import interrupts
from vpp_deploy.terminal import console

_MEMORY_FOLDER: Final = "/dev/shm"
"""Writable where nothing else is, as in a container whose root is read-only."""


def run(words: Sequence[str]) -> int:
    """Run one command, and tell what went wrong as one line.

    Args:
        words: of the command line, without the program's name.

    Returns:
        The exit status.
    """
    debug = "--debug" in words
    try:
        _refuse_empty(words)
        for variable in ("COLUMNS", "TERMINAL_WIDTH"):  # read by typer, which prints the help pages, as they are
            if console.columns(variable) is None:
                os.environ.pop(variable, None)
        _find_temporary_folder()
        send_nothing()
        keep_to_quota()
        with quiet(debug=debug):
            return _invoke([word for word in words if word != "--debug"])
    except (KeyboardInterrupt, typer.Abort) as error:
        return _interrupted(error)
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        if interrupts.received() is not None:  # a library took the interruption for an error of its own
            return _interrupted(error)
        label, message, code = describe(error)
        console.fail(label, "; ".join([message, *_notes(error)]))
        return code


def _invoke(words: list[str]) -> int:
    command = typer.main.get_command(app)
    interrupts.begin_work()
    try:
        with command.make_context("vpp-deploy", words) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return ExitCode.OK


def _interrupted(error: BaseException) -> int:
    number = interrupts.received() or SIGINT
    console.fail("interrupted", "; ".join([interrupts.describe(number), *_notes(error)]))
    return 128 + number


def _notes(error: BaseException | None) -> Iterator[str]:
    """What was noted on an error, and on those that it came from."""
    while error is not None:
        yield from getattr(error, "__notes__", ())
        error = error.__cause__ or error.__context__


def _refuse_empty(words: Sequence[str]) -> None:
    """An empty name would mean the working folder to some, and nothing to others.

    Raises:
        UsageError: a word, or the value of an option, is empty.
    """
    for word in words:
        if not word or (word.startswith("--") and word.endswith("=")):
            what = f"{word[:-1]} has an empty value" if word else "an argument is empty"
            raise UsageError(f"{what}: give a name, or leave it out")


def _find_temporary_folder() -> None:
    """Where there is no usable folder for temporary files, take the one in memory, for libraries that need one.

    The working folder, which Python would take before it gives up, is no place for what they leave there.
    """
    try:
        usable = tempfile.gettempdir() in _asked_for()
    except FileNotFoundError:
        usable = False
    if not usable:
        tempfile.tempdir = None
        with suppress(OSError), tempfile.TemporaryFile(dir=_MEMORY_FOLDER):  # if not, whoever needs one says so
            tempfile.tempdir = os.environ["TMPDIR"] = _MEMORY_FOLDER


def _asked_for() -> set[str]:
    """Where temporary files belong: what the user or the system has set apart for them."""
    named = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    with suppress(FileNotFoundError):  # a relative one, in a working folder that is gone
        named = [os.path.abspath(folder) for folder in named if folder]
    return {*named, "/tmp", "/var/tmp", "/usr/tmp"}
