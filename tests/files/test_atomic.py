from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vpp_deploy.files import atomic
from vpp_deploy.files.atomic import atomic_file, new_folder, recover_folder, replace_folder


def make(folder: Path, content: str) -> Path:
    folder.mkdir()
    (folder / "content").write_text(content)
    return folder


def content(folder: Path) -> str:
    return (folder / "content").read_text()


@pytest.fixture(params=[True, False], ids=["exchange", "two steps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that can exchange two names at once, and one that cannot."""
    if not request.param:
        monkeypatch.setattr(atomic, "_renameat2", lambda: None)


@pytest.mark.usefixtures("way")
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for text in ("one", "two", "three"):
        replace_folder(make(tmp_path / "new", text), target)
        assert content(target) == text
        assert os.listdir(tmp_path) == ["target"]


@pytest.mark.usefixtures("way")
def test_an_error_keeps_the_old_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = make(tmp_path / "target", "old")

    def write() -> None:
        with new_folder(target) as (folder, _):
            (folder / "content").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    with pytest.raises(OSError, match="No such file"):
        replace_folder(tmp_path / "missing", target)
    assert content(target) == "old"
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_folder_replaces_nothing_but_a_folder(tmp_path: Path, kind: str) -> None:
    make(tmp_path / "other", "precious")
    if kind == "file":
        (tmp_path / "target").write_text("precious")
    else:
        (tmp_path / "target").symlink_to("other")

    def write() -> None:
        with new_folder(tmp_path / "target") as (_, commit):
            commit()

    with pytest.raises(NotADirectoryError):
        write()
    assert sorted(os.listdir(tmp_path)) == ["other", "target"]
    assert content(tmp_path / "other") == "precious"


def test_the_folder_around_it_is_made_and_goes_with_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "engines" / "x", make_parent=True):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    with new_folder(tmp_path / "engines" / "x", make_parent=True) as (_, commit):
        commit()
    assert os.listdir(tmp_path / "engines") == ["x"]


def test_a_kill_between_the_two_steps_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_renameat2", lambda: None)
    target = make(tmp_path / "target", "old")
    os.rename(target, atomic._previous(target))  # what a killed run has done
    recover_folder(target)
    assert content(target) == "old"
    os.rename(target, atomic._previous(target))
    with new_folder(target) as (folder, _):
        assert content(target) == "old"
        (folder / "content").write_text("never finished")
    assert os.listdir(tmp_path) == ["target"]


SWAP = """
import sys
from pathlib import Path
from vpp_deploy.files.atomic import new_folder
for number in range(int(sys.argv[2])):
    with new_folder(Path(sys.argv[1])) as (folder, commit):
        (folder / "content").write_text(sys.argv[3])
        commit()
"""


def test_processes_that_replace_one_folder_at_once(tmp_path: Path) -> None:
    target = make(tmp_path / "target", "first")
    processes = [subprocess.Popen([sys.executable, "-c", SWAP, str(target), "200", text]) for text in ("a", "b", "c")]
    missed = 0
    while any(process.poll() is None for process in processes):
        missed += not target.is_dir()
        time.sleep(0)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert content(target) in ("a", "b", "c")
    assert os.listdir(tmp_path) == ["target"]
    if atomic._renameat2() is not None:
        assert missed == 0


def test_a_file_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / ("f" * 255)
    target.write_text("old")

    def write() -> None:
        with atomic_file(target) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert target.read_text() == "old"
    with atomic_file(target) as file:
        file.write(b"new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == [target.name]


def test_whether_there_is_room(tmp_path: Path) -> None:
    """A limit of a file's size stands for a full disk."""
    code = (
        "import resource, sys; from pathlib import Path; from vpp_deploy.files.atomic import check_room;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)); check_room(Path(sys.argv[1]), 9_999);"
        "print('fits', flush=True); check_room(Path(sys.argv[1]), 10_001)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout == "fits\n"
    assert done.stderr.endswith("File too large\n")
    assert os.listdir(tmp_path) == []
