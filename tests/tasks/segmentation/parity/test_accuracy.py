"""Accuracy on a data set as part of parity."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import vpp_deploy
from tests.media.clips import write_clip
from tests.parity.terminal import on_a_terminal
from tests.tasks.segmentation.evaluation.datasets import write_found_dataset
from tests.tasks.segmentation.parity.perturbed import Arrays, PerturbedEngine
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import ParityError
from vpp_deploy.exporters.precision import exported_precisions, tolerances_of
from vpp_deploy.families.vpp.reference import TorchEngine
from vpp_deploy.tasks import check_parity
from vpp_deploy.tasks.segmentation.evaluation.metrics import Scores
from vpp_deploy.tasks.segmentation.parity.accuracy import TaskParity, check_task
from vpp_deploy.tasks.segmentation.parity.render import render
from vpp_deploy.tasks.segmentation.parity.report import ParityReport


@pytest.fixture(scope="module")
def engine(micro_bundle: Bundle) -> Engine:
    return vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1)


@pytest.fixture(scope="module")
def data(torch_engine: TorchEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_found_dataset(tmp_path_factory.mktemp("task") / "valid", torch_engine)


@pytest.fixture(scope="module")
def report(micro_bundle: Bundle, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> ParityReport:
    """Of an engine that passes, without a task."""
    clip = write_clip(tmp_path_factory.mktemp("clip") / "clip.mkv", frames=2)
    passed = check_parity(micro_bundle, engine, clip, frames=2, reference=engine)
    assert passed.passed
    assert passed.to_dict()["task"] is None
    return passed


def shown(report: ParityReport) -> str:
    return on_a_terminal(render(report))


def scores(ap_track: float | None, map_segm: float | None = 50.0) -> Scores:
    return Scores(ap_track, ap_track, ap_track, {}, map_segm, map_segm, {}, {})


def task(reference: Scores, engine: Scores) -> TaskParity:
    return TaskParity("valid", 2, 6, reference, engine)


def test_an_engine_that_is_as_good_as_pytorch_passes(
    micro_bundle: Bundle, engine: Engine, torch_engine: TorchEngine, data: Path, report: ParityReport
) -> None:
    done: list[tuple[int, int, str]] = []
    compared = check_task(
        micro_bundle, engine, data, reference=torch_engine, progress=lambda *counts: done.append(counts)
    )
    assert [number for number, total, _ in done if total == 4] == [0, 1, 2, 2, 3, 4]
    assert (compared.data, compared.videos, compared.frames) == ("valid", 2, 6)
    assert compared.reference.ap_track == pytest.approx(100)
    whole = replace(report, task=compared)
    assert whole.passed
    fields = json.loads(json.dumps(whole.to_dict(), allow_nan=False))["task"]
    assert set(fields["differences"]) == {"ap_track", "map_bbox", "map_segm"}
    assert all(abs(difference) < 0.1 for difference in fields["differences"].values())
    assert fields["engine"]["ap_track"] == pytest.approx(100, abs=0.1)
    assert whole.summary()["task"] == fields
    assert "Task: average precision in percent, 2 videos (6 frames) of valid" in shown(whole)


def test_an_engine_with_worse_masks_fails(
    micro_bundle: Bundle, engine: Engine, torch_engine: TorchEngine, data: Path, report: ParityReport
) -> None:
    def blur(outputs: Arrays) -> None:
        outputs["mask_logits"] = -outputs["mask_logits"]

    worse = PerturbedEngine(engine, blur, first_frame=0)
    compared = check_task(micro_bundle, worse, data, reference=torch_engine)
    assert compared.differences["ap_track"] < -10
    whole = replace(report, task=compared)
    assert not whole.passed
    assert all(problem.startswith("task: ") for problem in whole.problems)
    with pytest.raises(ParityError, match=r"task: ap_track .* > 0\.1 points \(valid\)"):
        whole.raise_for_failure()
    assert "Parity: failed" in shown(whole)


@pytest.mark.parametrize("precision", exported_precisions())
@pytest.mark.parametrize(("ap", "problems"), [(50.09, 0), (49.91, 0), (50.11, 1), (49.89, 1)])
def test_a_tenth_of_a_point_is_the_bar_in_both_directions(
    precision: str, ap: float, problems: int, report: ParityReport
) -> None:
    bar = tolerances_of(precision).segmentation
    judged = replace(report, task=task(scores(50.0), scores(ap)), tolerances=bar)
    assert len(judged.problems) == problems


def test_a_data_set_without_objects_proves_nothing(report: ParityReport) -> None:
    whole = replace(report, task=task(scores(None, None), scores(None, None)))
    (problem,) = whole.problems
    assert "no object is annotated in the 2 videos of valid" in problem
    assert set(whole.to_dict()["task"]["differences"].values()) == {None}
    assert "ap_track" in shown(whole)


def test_equal_scores_of_0_are_noted(report: ParityReport) -> None:
    whole = replace(report, task=task(scores(0, 0), scores(0, 0)))
    assert whole.passed
    assert any("finds nothing in valid" in note for note in whole.notes)


def test_a_reference_is_made_if_none_is_given(micro_bundle: Bundle, engine: Engine, data: Path) -> None:
    assert check_task(micro_bundle, engine, data).reference.ap_track == pytest.approx(100)
