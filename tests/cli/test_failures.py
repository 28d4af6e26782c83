from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.cli.conftest import Cli
from vpp_deploy.bundle import Bundle
from vpp_deploy.cli.commands import whole
from vpp_deploy.cli.failures import dependency_error, describe
from vpp_deploy.errors import ExitCode, ParityError
from vpp_deploy.tasks.segmentation import infer as infer_vpp
from vpp_deploy.terminal.console import one_line


def without(package: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process that cannot import a package."""
    program = (
        f"import sys; sys.modules[{package!r}] = None; "
        f"from vpp_deploy.cli.main import main; sys.exit(main({list(words)!r}))"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words",
    [
        ["export", "vpp-micro", "--random-weights", "-o", "x.bundle"],
        ["parity", "x.bundle", "--video", "x.mp4"],
        ["demo", "-o", "x"],
    ],
)
def test_without_pytorch_the_extra_is_named(words: list[str]) -> None:
    process = without("torch", *words)
    assert process.returncode == ExitCode.MISSING
    assert process.stderr.count("\n") == 1
    assert process.stderr.startswith("error: torch is not installed")
    assert process.stderr.endswith("pip install vpp-deploy[export]\n")


@pytest.mark.parametrize("command", ["inspect", "doctor", "models"])
def test_what_needs_no_pytorch_runs_without_it(command: str, micro_bundle: Bundle) -> None:
    words = [command, str(micro_bundle.path)] if command == "inspect" else [command]
    assert without("torch", *words).returncode == 0


def test_a_package_that_does_not_load_is_not_called_missing() -> None:
    error = dependency_error(ImportError("libcudart.so: cannot open shared object file", name="torch._C"))
    assert "torch is installed but does not load (libcudart.so" in str(error)


def test_a_bug_of_ours_is_not_blamed_on_a_package() -> None:
    bug = ImportError("cannot import name 'x' from 'vpp_deploy.y'", name="vpp_deploy.y")
    assert dependency_error(bug) is None
    assert describe(bug)[0] == "internal error"


def test_the_parser_names_the_page_of_the_command_that_was_asked_for(cli: Cli) -> None:
    for name, command in whole().commands.items():
        options = [option.opts[0] for option in command.params if _takes_a_value(option)]
        for option in ("--no-such-option", *options):
            cli(name, option).assert_one_line_error(ExitCode.USAGE, f"(see vpp-deploy {name} --help)")


def _takes_a_value(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and not parameter.is_flag


def test_an_own_error_keeps_its_exit_code() -> None:
    assert describe(ParityError("far off")) == ("error", "far off", ExitCode.PARITY)


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["infer"],
        ["infer", "a", "b", "--no-such-option"],
        ["infer", "a", "b", "--max-frames", "0"],
        ["infer", "a", "b", "--threads", "many"],
        ["infer", "a", "b", "--engine", "tensorrt", "--threads", "2"],
        ["parity", "a", "--video", "b", "--frames", "-3"],
        ["export", "vpp-micro", "-o", "x"],
        ["export", "vpp-micro", "-o", "x", "--random-weights", "--checkpoint", "y"],
        ["export", "vpp-micro", "-o", "x", "--checkpoint", "y", "--seed", "3"],
        ["export", "vpp-micro", "-o", "x", "--random-weights", "--size", "384"],
        ["export", "vpp-micro", "--random-weights"],
    ],
)
def test_a_call_that_makes_no_sense_is_a_usage_error(words: list[str], cli: Cli) -> None:
    cli(*words).assert_one_line_error(ExitCode.USAGE)


def crash(*arguments: object, **options: object) -> None:
    raise ZeroDivisionError("division by\nzero")


def interrupt(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_an_unexpected_exception_is_one_line_that_names_debug(
    cli: Cli, micro_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infer_vpp, "run_video", crash)
    outcome = cli("infer", micro_bundle.path, "x.mp4")
    expected = "internal error: ZeroDivisionError: division by zero (run again with --debug for the traceback)\n"
    assert (outcome.code, outcome.err) == (ExitCode.INTERNAL, expected)


@pytest.mark.parametrize("before", [True, False])
def test_debug_shows_the_traceback_before_or_after_the_command(
    before: bool, cli: Cli, micro_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infer_vpp, "run_video", crash)
    words = ["infer", micro_bundle.path, "x.mp4"]
    outcome = cli("--debug", *words) if before else cli(*words, "--debug")
    assert outcome.code == ExitCode.INTERNAL
    assert "Traceback" in outcome.err
    assert "in crash" in outcome.err


def test_ctrl_c(cli: Cli, micro_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer_vpp, "run_video", interrupt)
    outcome = cli("infer", micro_bundle.path, "x.mp4")
    assert (outcome.code, outcome.err) == (130, "interrupted: stopped by Ctrl-C\n")


def test_messages_are_not_wrapped_and_cannot_disturb_a_terminal(cli: Cli) -> None:
    path = "/nowhere/" + "long" * 100 + "\x1b[31m[bold]:smile:\nred"
    cli("inspect", path).assert_one_line_error(ExitCode.BAD_INPUT, "long" * 100 + r"\x1b[31m[bold]:smile: red")
    assert one_line("a\n  b\udc80") == r"a b\udc80"
