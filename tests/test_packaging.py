"""What is given to users: sdist, wheel and container images."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode

NOBODY = 10001
WITHOUT_EXTRAS = """
import sys

ALLOWED = set(sys.argv.pop(1).split(","))

class Refuse:
    def find_spec(self, name, path=None, target=None):
        extras = {"torch", "timm", "transformers", "onnxruntime", "openvino", "tensorrt_rtx"}
        if name.partition(".")[0] in extras - ALLOWED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
from vpp_deploy.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""The command line where a package is only there if it is allowed."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was made of it."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY, capture_output=True
    )
    if tracked.returncode != 0:
        pytest.skip("this is no git repository")
    for name in filter(None, tracked.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's package, apart from the repository."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_both_are_what_an_index_takes(built: Path, wheel: Path) -> None:
    for command in (["twine", "check", "--strict", wheel, *built.glob("*.tar.gz")], ["check_wheel_contents", wheel]):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_they_hold_what_they_should(built: Path, wheel: Path) -> None:
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    for path in (REPOSITORY / "vpp_deploy").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.relative_to(REPOSITORY).as_posix() in in_wheel
    assert {name.partition("/")[0] for name in in_wheel if ".dist-info" not in name} == {"vpp_deploy"}
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("docs/bundle.md", "cpp/CMakeLists.txt", "plugins/kernels/select.cu", "tests/conftest.py", "Makefile"):
        assert name in in_sdist


def command_line(
    installed: Path,
    *arguments: object,
    allowed: str = "",
    before: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Exit code and all that a command of the installed package prints."""
    command = [*before, sys.executable, "-c", WITHOUT_EXTRAS, allowed, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"} | dict(env or {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=installed)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_the_wheel_works_without_extras(installed: Path, micro_bundle: Bundle) -> None:
    """Where an engine is needed, one line says what to install."""
    assert command_line(installed, "--version")[0] == ExitCode.OK
    assert command_line(installed, "doctor")[0] == ExitCode.OK
    code, text = command_line(installed, "inspect", micro_bundle.path)
    assert code == ExitCode.OK
    assert "vpp-micro" in text
    picture = REPOSITORY / "docs" / "pictures" / "strip.png"
    code, text = command_line(installed, "infer", micro_bundle.path, picture)
    assert code == ExitCode.MISSING
    assert "pip install vpp-deploy[cpu]" in text
    code, text = command_line(installed, "infer", micro_bundle.path, picture, allowed="onnxruntime")
    assert code == ExitCode.OK, text


READ_ONLY = 'mount --bind "$1" "$1" && mount --bind / / && mount -o remount,ro,bind / && shift && exec "$@"'
"""A shell that runs a command where nothing but one folder can be written to."""


def test_nothing_is_written_but_to_the_working_and_the_temporary_folder(
    installed: Path, micro_bundle: Bundle, tmp_path: Path
) -> None:
    """As in a container whose root is read-only, for a user without a home."""
    jail = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*jail, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    assert subprocess.run([*jail, "touch", str(installed / "new")], capture_output=True).returncode
    picture, lines = REPOSITORY / "docs" / "pictures" / "strip.png", tmp_path / "found.jsonl"
    code, text = command_line(
        installed,
        *("infer", micro_bundle.path, picture, "--json", lines),
        allowed="onnxruntime",
        before=jail,
        env={"HOME": "/nonexistent", "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
    )
    assert code == ExitCode.OK, text
    assert lines.stat().st_size


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_images_are_described_as_they_should_be(name: str) -> None:
    lint = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if lint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([lint, "--no-color", REPOSITORY / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (REPOSITORY / name).read_text()
    assert f"USER {NOBODY}" in text
    assert "HEALTHCHECK" in text


def test_what_images_copy_is_not_ignored() -> None:
    let_in = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name in ("Dockerfile", "Dockerfile.gpu"):
        lines = (REPOSITORY / name).read_text().splitlines()
        copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
        assert {source for sources in copied for source in sources} == let_in
