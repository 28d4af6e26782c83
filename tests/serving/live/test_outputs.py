"""Lines that grow, and videos that are whole."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from vpp_deploy.errors import OutputError
from vpp_deploy.serving.live.outputs import LiveLines


def records(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text().splitlines()]


def test_lines_are_there_at_once_and_a_later_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for first in (0, 3):
        lines = LiveLines(path)
        for number in range(first, first + 3):
            lines.append({"number": number})
            assert records(path)[-1] == number
        lines.close()
    assert records(path) == list(range(6))


@pytest.mark.parametrize("end", [b'{"numb', b"{" + b" " * 3_000_000, b""])
def test_half_a_line_that_a_kill_left_is_cut_off(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"number": 0}\n' + end)
    lines = LiveLines(path)
    lines.append({"number": 1})
    lines.close()
    assert records(path) == [0, 1]


def test_a_file_without_a_line_does_not_stay(tmp_path: Path) -> None:
    LiveLines(tmp_path / "x.jsonl").close()
    assert list(tmp_path.iterdir()) == []


def append_many(lines: LiveLines) -> None:
    for number in range(1000):
        lines.append({"number": number})


def test_lines_on_a_full_disk_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    lines = LiveLines(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"x\.jsonl: cannot be written"):
            append_many(lines)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    lines.close()
    assert len(records(path)) > 10


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "x.jsonl", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(OutputError, match="cannot be written"):
            LiveLines(path)
    assert os.listdir(tmp_path) == []


def test_a_file_is_written_by_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    first = LiveLines(path)
    first.append({"number": 0})
    with pytest.raises(OutputError, match=r"x\.jsonl: another run writes here; wait for it"):
        LiveLines(path)
    assert not first.continued
    first.append({"number": 1})
    first.close()
    second = LiveLines(path)
    assert second.continued
    second.close()
    assert records(path) == [0, 1]
