from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vpp_deploy.errors import OutputError
from vpp_deploy.tasks.classification.results import ClassificationResult
from vpp_deploy.tasks.classification.writers import ClassificationLinesWriter

NAMES = ("dark", "bright")
RESULT = ClassificationResult(
    indices=(4, 6, 6),
    time=Fraction(1, 4),
    name="",
    original_size=(20, 30),
    labels=np.array([1, 0]),
    scores=np.array([0.875, 0.125], np.float32),
    significance={"tubelets": np.array([[[1 / 3, 2e-9]], [[1, 123456789]]], np.float32)},
    kept={"tubelets": np.array([3, 2], np.int32)},
    seconds={"engine": 0.01, "host": 0.002},
)


def test_a_line_holds_everything_about_an_image_or_clip(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with ClassificationLinesWriter(path, NAMES) as writer:
        writer.write(RESULT)
        assert not path.exists()
    (line,) = path.read_text().splitlines()
    assert json.loads(line) == {
        "indices": [4, 6, 6],
        "time": 0.25,
        "size": [20, 30],
        "labels": [{"label": 1, "class": "bright", "score": 0.875}, {"label": 0, "class": "dark", "score": 0.125}],
        "kept": {"tubelets": [3, 2]},
        "keep_ratios": {"tubelets": 0.5},
        "significance": {"tubelets": [[[0.333333, 2e-9]], [[1, 123457000]]]},
        "seconds": {"engine": 0.01, "host": 0.002},
    }


def write_and_fail(writer: ClassificationLinesWriter) -> None:
    with writer:
        writer.write(RESULT)
        raise RuntimeError


def test_after_an_exception_complete_lines_are_kept_aside(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_and_fail(ClassificationLinesWriter(tmp_path / "out.jsonl", NAMES))
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl.partial"]
    assert len((tmp_path / "out.jsonl.partial").read_text().splitlines()) == 1


def test_a_target_that_cannot_be_written_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not a folder that exists"):
        ClassificationLinesWriter(tmp_path / "none" / "out.jsonl", NAMES)
