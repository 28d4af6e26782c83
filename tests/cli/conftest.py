"""The command line as a user meets it: words in; exit status and both streams out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.media.clips import write_clip
from vpp_deploy.bundle import Bundle
from vpp_deploy.cli.main import main
from vpp_deploy.errors import ExitCode


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def assert_one_line_error(self, code: ExitCode, *words: str) -> None:
        assert self.code == code, self.err
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert "Traceback" not in self.out + self.err
        for word in words:
            assert word in lines[0]


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process. Captures what C libraries print, too."""

    def run(*words: object) -> Outcome:
        capfd.readouterr()
        code = main([str(word) for word in words])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def bundle(micro_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle of one's own, to damage."""
    return Path(shutil.copytree(micro_bundle.path, tmp_path / "own.bundle"))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", frames=4, size=(60, 90))


@pytest.fixture
def leftovers(tmp_path: Path) -> Callable[[], list[str]]:
    """Names of temporary files and folders that were left under `tmp_path`."""
    marks = (".partial", ".tmp")
    return lambda: [str(path) for path in tmp_path.rglob("*") if path.name.endswith(marks)]
