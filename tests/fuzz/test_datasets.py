"""Annotation files and submissions that are damaged."""

from __future__ import annotations

import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import mutation
from tests.fuzz.conftest import Fuzz
from tests.fuzz.runner import Outcome, Runner
from tests.tasks.segmentation.evaluation.datasets import rle, write_dataset

CORNERS = ((5, 5, 30, 40), (8, 8, 30, 40), None)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of three frames."""
    return write_dataset(tmp_path_factory.mktemp("data"), {1: [(1, CORNERS)], 2: [(2, CORNERS), (3, CORNERS)]})


def submission() -> list[dict[str, Any]]:
    """Entries that fit the data set."""
    segmentations = [rle(corners) for corners in CORNERS]
    return [{"video_id": video, "category_id": 1, "score": 0.5, "segmentations": segmentations} for video in (1, 1, 2)]


def test_annotations(runner: Runner, fuzz: Fuzz, dataset: Path, tmp_path: Path) -> None:
    annotations = json.loads((dataset / "instances.json").read_bytes())
    predictions = tmp_path / "predictions.json"
    predictions.write_text(json.dumps(submission()))
    folder = tmp_path / "case"
    folder.mkdir()

    def case(generator: random.Random, number: int) -> Outcome:
        changed = folder / "annotations.json"
        changed.write_bytes(mutation.as_json(mutation.damaged_json(annotations, generator), generator))
        words = ["evaluate", "--predictions", predictions, "--data", dataset, "--annotations", changed]
        return runner.run([*words, "--json", "scores.json"], folder)

    fuzz("annotations", case)


@pytest.mark.parametrize("form", ["json", "zip"])
def test_submissions(runner: Runner, fuzz: Fuzz, dataset: Path, tmp_path: Path, form: str) -> None:
    entries = submission()

    def case(generator: random.Random, number: int) -> Outcome:
        predictions = tmp_path / f"predictions.{form}"
        if form == "json":
            predictions.write_bytes(mutation.as_json(mutation.damaged_json(entries, generator), generator))
        else:
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("results.json", json.dumps(entries))
            predictions.write_bytes(mutation.damaged(content.getvalue(), generator))
        return runner.run(["evaluate", "--predictions", predictions, "--data", dataset], tmp_path)

    fuzz(f"submissions, {form}", case)
