"""What is given to users: sdist, wheel and container images."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import vpp_deploy
from tests import clean_environment
from tests.conftest import REPOSITORY
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import ExitCode

NOBODY = 10001
OF_EXTRAS = ("torch", "timm", "transformers", "onnxruntime", "openvino", "tensorrt_rtx", "pyarrow", "jinja2")


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
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with the wheel, without extras."""
    return clean_environment.make(wheel, tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="module")
def with_runtime(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with the wheel and its extra `cpu`."""
    return clean_environment.make(wheel, tmp_path_factory.mktemp("cpu"), ["cpu"])


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
    programs: Path, *arguments: object, before: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and all that a command of an environment prints."""
    command = [*before, str(programs / "vpp-deploy"), *map(str, arguments)]
    ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, capture_output=True, text=True, env=ours | dict(env or {}), cwd=programs)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def importable(programs: Path, *names: str) -> set[str]:
    program = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n)))"
    command = [programs / "python", "-I", "-c", program, *names]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


PICTURE = REPOSITORY / "docs" / "pictures" / "strip.png"


def assert_works_without_extras(programs: Path, bundle: Bundle) -> None:
    """Where an engine is needed, one line says what to install."""
    assert importable(programs, "vpp_deploy", *OF_EXTRAS) == {"vpp_deploy"}
    code, text = command_line(programs, "--version")
    assert (code, text) == (ExitCode.OK, f"vpp-deploy {vpp_deploy.__version__}\n")
    code, text = command_line(programs, "doctor")
    assert code == ExitCode.OK
    assert str(REPOSITORY) not in text
    code, text = command_line(programs, "inspect", bundle.path)
    assert code == ExitCode.OK
    assert "vpp-micro" in text
    code, text = command_line(programs, "infer", bundle.path, PICTURE)
    assert code == ExitCode.MISSING
    assert "pip install vpp-deploy[cpu]" in text


def assert_infers(programs: Path, bundle: Bundle) -> None:
    assert importable(programs, *OF_EXTRAS) == {"onnxruntime"}
    code, text = command_line(programs, "infer", bundle.path, PICTURE)
    assert code == ExitCode.OK, text


def test_the_wheel_works_without_extras(core: Path, micro_bundle: Bundle) -> None:
    assert_works_without_extras(core, micro_bundle)


def test_with_a_runtime_the_wheel_infers(with_runtime: Path, micro_bundle: Bundle) -> None:
    assert_infers(with_runtime, micro_bundle)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_pip_installs_it_into_a_new_environment(kind: str, built: Path, micro_bundle: Bundle, tmp_path: Path) -> None:
    """With what it needs from the package index."""
    venv.create(tmp_path / "new", with_pip=True, symlinks=True)
    programs, (given,) = tmp_path / "new" / "bin", built.glob(kind)
    pip_installs(programs, str(given))
    assert_works_without_extras(programs, micro_bundle)
    pip_installs(programs, f"{given}[cpu]")
    assert_infers(programs, micro_bundle)


def pip_installs(programs: Path, what: str) -> None:
    command = [programs / "python", "-m", "pip", "--disable-pip-version-check", "install", "--retries", "1", what]
    done = subprocess.run(command, capture_output=True, text=True)
    if "No matching distribution" in done.stderr or "name resolution" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr


READ_ONLY = 'mount --bind "$1" "$1" && mount --bind / / && mount -o remount,ro,bind / && shift && exec "$@"'
"""A shell that runs a command where nothing but one folder can be written to."""


def test_nothing_is_written_but_to_the_working_and_the_temporary_folder(
    with_runtime: Path, micro_bundle: Bundle, tmp_path: Path
) -> None:
    """As in a container whose root is read-only, for a user without a home."""
    jail = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*jail, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    assert subprocess.run([*jail, "touch", str(with_runtime / "new")], capture_output=True).returncode
    lines = tmp_path / "found.jsonl"
    code, text = command_line(
        with_runtime,
        *("infer", micro_bundle.path, PICTURE, "--json", lines),
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
