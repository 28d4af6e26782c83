from __future__ import annotations

from pathlib import Path

import pytest

from vpp_deploy.errors import UsageError
from vpp_deploy.tasks.common import check_distinct


def test_outputs_beside_or_within_the_input_are_fine(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    check_distinct(tmp_path / "in", [tmp_path / "in" / "x.mp4", tmp_path / "out", tmp_path / "out.jsonl"])
    check_distinct(tmp_path / "in.mp4", [])


@pytest.mark.parametrize("target", ["in", "./in/", "in/..", "link", "."])
def test_no_output_is_or_contains_the_input(tmp_path: Path, target: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(UsageError, match="would overwrite the video or images that are read"):
        check_distinct(tmp_path / "in", [tmp_path / target])


@pytest.mark.parametrize(("first", "second"), [("x", "x"), ("x", "x/y.jsonl"), ("x/y.jsonl", "x")])
def test_no_output_is_or_contains_another(tmp_path: Path, first: str, second: str) -> None:
    with pytest.raises(UsageError, match=f"output {tmp_path / second} would overwrite another output"):
        check_distinct(tmp_path / "in", [tmp_path / first, tmp_path / second])
