from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpp_deploy.files.atomic import atomic_file
from vpp_deploy.files.temporary import Temporary, is_temporary, sweep, temporary_folder, temporary_sibling


def killed(target: Path, *, folder: bool) -> None:
    """A process that makes a temporary file or folder of a target and is killed."""
    code = (
        "import os, signal, sys; from pathlib import Path; from vpp_deploy.files.temporary import Temporary;"
        f"made = Temporary(Path(sys.argv[1]), folder={folder});"
        f"(made.path / 'x' if {folder} else made.path).write_text('half');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("folder", [True, False])
def test_the_next_run_removes_what_a_killed_one_left_of_the_same_target(tmp_path: Path, folder: bool) -> None:
    target, other = tmp_path / "target", tmp_path / "other"
    killed(target, folder=folder)
    killed(other, folder=folder)
    assert len(os.listdir(tmp_path)) == 2
    alive = Temporary(target, folder=folder)
    assert len(os.listdir(tmp_path)) == 2  # the dead one has gone, the other target's has not
    Temporary(target, folder=not folder).remove()
    assert alive.path.exists()  # a living one is left alone
    alive.remove()
    Temporary(other).remove()
    assert os.listdir(tmp_path) == []


def test_thousands_of_files_in_one_folder_are_not_looked_through_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3000):
        (tmp_path / f"{number}").touch()
    killed(tmp_path / "199.json", folder=False)
    looks, listdir = [], os.listdir

    def look(folder: Path) -> list[str]:
        looks.append(folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", look)
    for number in range(200):
        with atomic_file(tmp_path / f"{number}.json") as file:
            file.write(b"{}")
    assert 1 <= len(looks) < 100
    assert len(listdir(tmp_path)) == 3200  # what was left behind has gone


def test_what_only_looks_alike_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    link = temporary_sibling(target)
    link.symlink_to("precious")
    (tmp_path / ".vpp-notes.partial").touch()
    sweep(target)
    assert sorted(os.listdir(tmp_path)) == sorted([".vpp-notes.partial", link.name, "precious"])
    assert (tmp_path / "precious" / "file").exists()


@pytest.mark.parametrize("folder", [True, False])
def test_the_end_of_the_process_removes_what_was_left(tmp_path: Path, folder: bool) -> None:
    code = (
        "import sys; from pathlib import Path; from vpp_deploy.files.temporary import Temporary;"
        f"Temporary(Path(sys.argv[1]), folder={folder}); raise KeyboardInterrupt"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, check=False)
    assert os.listdir(tmp_path) == []


def test_removing_twice_or_after_a_rename_is_harmless(tmp_path: Path) -> None:
    made = Temporary(tmp_path / "x")
    os.rename(made.path, tmp_path / "x")
    made.release()
    made.remove()
    made.remove()
    assert os.listdir(tmp_path) == ["x"]


def test_a_folder_to_work_in(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "x") as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        assert folder.parent == tmp_path
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["n" * 256, "n" * 5000])
def test_a_name_that_is_too_long_is_known_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="File name too long"):
        Temporary(tmp_path / name)
    assert os.listdir(tmp_path) == []


@given(st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 47} & set(name) and name.strip(b".")))
def test_temporary_names_are_short_plain_and_of_one_target(name: bytes) -> None:
    target = Path("/folder") / os.fsdecode(name)
    one, two = temporary_sibling(target), temporary_sibling(target)
    assert one != two
    assert one.parent == target.parent
    assert one.name.isascii()
    assert len(one.name) < 64
    assert is_temporary(one.name)
    assert one.name.rpartition("-")[0] == two.name.rpartition("-")[0]
