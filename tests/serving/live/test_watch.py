"""Lists of sources that change while they are used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vpp_deploy.errors import VideoError
from vpp_deploy.serving.live.watch import SourceLists


def test_a_change_counts_when_it_has_settled(tmp_path: Path) -> None:
    path = tmp_path / "cameras.txt"
    path.write_text("rtsp://a/1\n# rtsp://a/2\n")
    lists = SourceLists([str(path), "0"])
    assert (lists.watching, lists.sources, lists.look()) == (True, ["rtsp://a/1", "0"], False)
    path.write_text("rtsp://a/1\n")
    path.write_text("rtsp://a/1\nrtsp://a/3\n")
    assert [lists.look(), lists.look(), lists.look()] == [False, True, False]
    assert lists.sources == ["rtsp://a/1", "rtsp://a/3", "0"]
    path.write_text("rtsp://a/1\n0\nrtsp://a/3\nrtsp://a/1\n")
    assert [lists.look(), lists.look()] == [False, True]
    assert lists.doubled == ["rtsp://a/1", "0"]
    path.write_text("")
    assert [lists.look(), lists.look()] == [False, True]
    assert (lists.sources, lists.doubled) == (["0"], [])


def test_a_list_that_cannot_be_read_leaves_the_sources_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "cameras.txt"
    path.write_text("rtsp://a/1\n")
    lists = SourceLists([str(path)])
    os.rename(path, tmp_path / "aside")
    assert [lists.look(), lists.look()] == [False, False]
    assert (lists.sources, str(path) in str(lists.problem)) == (["rtsp://a/1"], True)
    os.rename(tmp_path / "aside", path)
    lists.look()
    lists.look()
    assert (lists.sources, lists.problem) == (["rtsp://a/1"], None)


def test_words_without_a_list_are_not_watched() -> None:
    assert not SourceLists(["rtsp://a/1"]).watching
    with pytest.raises(VideoError, match="addresses of ftp"):
        SourceLists(["ftp://a/1"])
