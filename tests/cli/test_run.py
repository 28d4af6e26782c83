"""What becomes of interruptions, of libraries' own lines, and of what the system refuses."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from vpp_deploy.bundle import Bundle
from vpp_deploy.cli import run
from vpp_deploy.cli.failures import describe
from vpp_deploy.errors import ExitCode
from vpp_deploy.tasks.segmentation import infer as infer_vpp

HIT = "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(1)"


def with_module(folder: Path, name: str, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process that finds a module of ours before the installed one."""
    (folder / f"{name}.py").write_text(code)
    return subprocess.run(
        [sys.executable, "-m", "vpp_deploy", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize(
    ("module", "code", "words"),
    [
        ("typer", HIT, ["doctor"]),  # before there is a command
        ("torch", HIT, ["parity", "x", "--input", "y"]),  # in the middle of one
        ("torch", f"try:\n    {HIT}\nexcept BaseException:\n    raise ImportError('x') from None", ["demo", "-o", "x"]),
    ],
)
def test_an_interruption_of_an_import_is_one_line(tmp_path: Path, module: str, code: str, words: list[str]) -> None:
    done = with_module(tmp_path, module, code, *words)
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "interrupted: stopped by SIGTERM\n")
    assert not (Path(__file__).parents[2] / words[-1]).exists()


def warn_and_log(*arguments: object, **options: object) -> None:
    warnings.warn("raw warning", stacklevel=1)
    logging.getLogger("some.library").warning("raw log")
    raise KeyboardInterrupt


@pytest.mark.parametrize("debug", [True, False])
def test_libraries_speak_with_debug_only(
    debug: bool, cli: Cli, micro_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infer_vpp, "run_video", warn_and_log)
    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest has some
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = cli("infer", micro_bundle.path, "x.mp4", *["--debug"] * debug)
    assert outcome.code == 130
    assert ("raw log" in outcome.err) == bool(caught) == debug
    assert outcome.err.endswith("interrupted: stopped by Ctrl-C\n")
    assert debug or outcome.err.count("\n") == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.EMFILE])
def test_what_the_system_refuses_is_no_internal_error(code: int) -> None:
    reason = os.strerror(code)
    assert describe(OSError(code, reason, "a/file")) == ("error", f"a/file: {reason}", ExitCode.BAD_INPUT)
    assert describe(OSError(code, reason)) == ("error", reason, ExitCode.BAD_INPUT)


def test_a_mistake_of_ours_stays_one() -> None:
    assert describe(FileNotFoundError(errno.ENOENT, "No such file or directory", "x"))[2] == ExitCode.INTERNAL


def no_folder() -> str:
    raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/var/tmp']")


@pytest.mark.parametrize("usable", [True, False])
def test_no_usable_folder_for_temporary_files(usable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", None)
        patch.setenv("TMPDIR", "/nowhere")
        patch.setattr(tempfile, "gettempdir", no_folder)
        patch.setattr(run, "_MEMORY_FOLDER", str(tmp_path if usable else tmp_path / "missing"))
        run._find_temporary_folder()
        chosen = tempfile.tempdir
    assert chosen == (str(tmp_path) if usable else None)
    assert describe(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in []"))[1:] == (
        "there is no usable folder for temporary files: set TMPDIR to one",
        ExitCode.BAD_INPUT,
    )


@pytest.mark.parametrize("columns", ["0", "1", "-1", "x"])
def test_help_on_a_terminal_without_a_width(columns: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert "Stop after N frames" in " ".join(cli("infer", "--help").out.replace("│", " ").split())


def test_no_telemetry_unless_it_is_asked_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for before, after in ((None, "1"), ("0", "0")):
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
        if before is not None:
            monkeypatch.setenv("ORT_DISABLE_TELEMETRY", before)
        assert cli("--version").code == 0
        assert os.environ["ORT_DISABLE_TELEMETRY"] == after
