"""Snapshots in a folder: the last ones of each stream, and nothing that is somebody else's is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vpp_deploy.errors import OutputError, StreamError
from vpp_deploy.serving.triton.snapshots import SnapshotStore


def test_the_last_two_stay_whatever_their_numbers(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "new" / "folder")
    for number in (57, 0, 1, 2):  # a late one of an earlier stream of this name comes first
        store.save("a", number, b"%d" % number)
        os.utime(next(tmp_path.rglob(f"{number}.safetensors")), ns=(0, 10**15 + number * (number != 57)))
    assert sorted(path.name for path in tmp_path.rglob("*.safetensors")) == ["1.safetensors", "2.safetensors"]
    assert store.load("a", None) == store.load("a", 3) == b"2"
    assert store.load("a", 2) == b"1"
    store.save("b", 2, b"of b")
    store.remove("a")
    store.remove("a")
    with pytest.raises(StreamError, match="stream 'a' has no snapshot"):
        store.load("a", 3)
    assert store.load("b", None) == b"of b"


def test_what_is_old_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    foreign = [tmp_path / "important", tmp_path / ("f" * 32) / "important.txt"]
    foreign[0].mkdir()
    foreign[1].parent.mkdir()
    foreign[1].touch()
    store = SnapshotStore(tmp_path, keep_seconds=1000)
    store.save("old", 1, b"x")
    store.save("new", 1, b"y")
    for folder in [*foreign, foreign[1].parent, next(tmp_path.glob("*/1.safetensors")).parent]:
        os.utime(folder, (1, 1))
    left = set(tmp_path.rglob("*"))
    store.prune()
    assert len(left) == len(list(tmp_path.rglob("*"))) + 2
    assert all(path.exists() for path in foreign)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot make the folder for snapshots"):
        SnapshotStore(tmp_path / "file" / "folder")
