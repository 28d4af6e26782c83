"""The check on a real export: it passes, and it names what is wrong when something is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vpp_deploy
from tests.media.clips import cut, write_clip
from tests.parity.failing import failure_of
from tests.parity.terminal import on_a_terminal
from tests.tasks.segmentation.parity.perturbed import Arrays, PerturbedEngine, ScoredReference, swap_kept
from vpp_deploy.bundle import Bundle
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.engines.protocols import Engine, StreamState
from vpp_deploy.errors import UsageError
from vpp_deploy.families.vpp.reference import TorchEngine
from vpp_deploy.frames import Frame
from vpp_deploy.parity.report_common import store
from vpp_deploy.tasks import check_parity
from vpp_deploy.tasks.segmentation.parity.render import render
from vpp_deploy.tasks.segmentation.parity.report import ParityReport
from vpp_deploy.tasks.segmentation.session import VideoSession

FRAMES = 3


@pytest.fixture(scope="module")
def engine(micro_bundle: Bundle) -> Engine:
    return vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1)


@pytest.fixture(scope="module")
def frames(engine: Engine) -> list[Frame]:
    pictures = render_clip("val", 0, 0, frames=FRAMES, size=engine.frame_size).frames
    return [Frame(image, image.shape[:2], image, index) for index, image in enumerate(pictures)]


@pytest.fixture(scope="module")
def report(micro_bundle: Bundle, engine: Engine, frames: list[Frame], torch_engine: TorchEngine) -> ParityReport:
    return check_parity(micro_bundle, engine, frames, reference=torch_engine)


def shown(report: ParityReport, width: int = 80) -> str:
    return on_a_terminal(render(report), width)


def test_an_engine_that_computes_what_pytorch_computes_passes(report: ParityReport) -> None:
    assert report.problems == []
    assert report.passed
    report.raise_for_failure()
    assert [(frame.index, frame.phase) for frame in report.frames] == [(0, "init"), (1, "step"), (2, "step")]
    for mode in ("teacher_forced", "free_running"):
        worst = report.worst(mode)
        assert set(worst) == {"class_logits", "mask_logits", "query_features", "reference", "deep"}
        assert all(0 < tensor.maximum < 1e-3 and tensor.cosine > 0.999999 for tensor in worst.values())
    assert list(report.overlaps()) == ["map_selection", "selection_3", "selection_6", "selection_9", "positions"]
    assert report.tracks()["agreement"] == 1.0
    assert report.tracks()["tracked_objects"] > 0


def test_an_engine_is_exactly_itself(micro_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    report = check_parity(micro_bundle, engine, frames, reference=engine)
    assert report.passed
    assert all(tensor.maximum == 0.0 for tensor in report.worst("free_running").values())


def test_the_report_is_json_and_the_bundle_keeps_its_summary(
    report: ParityReport, micro_bundle: Bundle, tmp_path: Path
) -> None:
    whole = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert [frame["index"] for frame in whole["per_frame"]] == [0, 1, 2]
    assert whole["per_frame"][1]["free_running"]["selections"]["map_selection"]["overlap"] == 1.0
    summary = json.loads(store(Bundle(tmp_path, micro_bundle.manifest), report).read_text())
    assert summary == {key: whole[key] for key in summary}
    assert (summary["passed"], summary["backend"], summary["frames"]) == (True, "onnxruntime", FRAMES)
    assert summary["tensors"]["teacher_forced"]["deep"]["maximum"] < 1e-3
    assert {"vpp-deploy", "torch", "onnxruntime"} <= set(summary["versions"])


def test_the_table_fits_a_terminal(report: ParityReport) -> None:
    text = shown(report)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "…" not in text
    for part in ("class_logits", "map_selection", "100.0% of the frames", "Parity: passed"):
        assert part in text


def test_a_clip_that_ends_early_and_is_damaged_is_compared_as_far_as_it_goes(
    micro_bundle: Bundle, engine: Engine, tmp_path: Path
) -> None:
    video = cut(write_clip(tmp_path / "clip.mkv", frames=8, noise=True), 0.6)
    done: list[tuple[int, int | None]] = []
    report = check_parity(micro_bundle, engine, video, reference=engine, progress=lambda *counts: done.append(counts))
    assert report.passed
    assert report.video == "cut.mkv"
    assert 1 <= len(report.frames) < 8
    assert [number for number, _ in done] == list(range(1, len(report.frames) + 1))
    assert {expected for _, expected in done} == {8}
    assert f"the video has {len(report.frames)} of the 30 frames asked for" in report.notes
    assert any(note.startswith("video: ") and "damaged" in note for note in report.notes)


def failure(report: ParityReport) -> str:
    return failure_of(report, shown(report))


@pytest.mark.parametrize("name", ["class_logits", "mask_logits", "query_features"])
def test_a_wrong_output_is_named(micro_bundle: Bundle, engine: Engine, frames: list[Frame], name: str) -> None:
    def add(outputs: Arrays) -> None:
        outputs[name] += 1e-2

    report = check_parity(micro_bundle, PerturbedEngine(engine, add), frames, reference=engine)
    assert failure(report) == f"frame 1, {name}: max |difference| 0.01 > 0.001 (teacher-forced)"


@pytest.mark.parametrize("name", ["reference", "deep"])
def test_a_wrong_state_is_named(micro_bundle: Bundle, engine: Engine, frames: list[Frame], name: str) -> None:
    def add(state: Arrays) -> None:
        state[name] = state[name] + np.float32(1e-2)

    report = check_parity(micro_bundle, PerturbedEngine(engine, state=add), frames, reference=engine)
    assert failure(report) == f"frame 1, {name}: max |difference| 0.01 > 0.001 (teacher-forced)"


def test_wrong_positions_in_the_state_are_named(micro_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def swap(state: Arrays) -> None:
        swap_kept(state, "positions", 96)

    report = check_parity(micro_bundle, PerturbedEngine(engine, state=swap), frames, reference=engine)
    assert failure(report).startswith("frame 1, positions: kept tokens differ beyond ties: token ")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(
    micro_bundle: Bundle, engine: Engine, frames: list[Frame], value: float
) -> None:
    def break_last_row(outputs: Arrays) -> None:  # a row that only fills the output up
        outputs["mask_logits"][-1, 0, 0] = value

    report = check_parity(micro_bundle, PerturbedEngine(engine, break_last_row), frames, reference=engine)
    assert failure(report) == "frame 1, mask_logits: 1 NaN or infinite values (teacher-forced)"
    assert "frame 1, mask_logits: 1 NaN or infinite values (free-running)" in report.problems


def test_an_engine_that_gives_nothing_but_nan_fails_without_a_crash(
    micro_bundle: Bundle, engine: Engine, frames: list[Frame]
) -> None:
    def fill(outputs: Arrays) -> None:
        for array in outputs.values():
            if np.issubdtype(array.dtype, np.floating):
                array[:] = np.nan

    report = check_parity(micro_bundle, PerturbedEngine(engine, fill, first_frame=0), frames, reference=engine)
    assert failure(report).startswith("frame 0, class_logits: ")


def test_a_swapped_token_is_named_and_what_follows_is_not_judged(
    micro_bundle: Bundle, engine: Engine, torch_engine: TorchEngine, frames: list[Frame]
) -> None:
    def swap(outputs: Arrays) -> None:
        swap_kept(outputs, "kept_selection_6", 96)
        outputs["mask_logits"] += 1

    perturbed = PerturbedEngine(engine, swap, first_frame=2)
    report = check_parity(micro_bundle, perturbed, frames, reference=torch_engine)
    assert failure(report).startswith("frame 2, selection_6: kept tokens differ beyond ties: token ")
    assert "selection_6: mean kept-token overlap 99.225% < 99.900% (free-running)" in report.problems
    assert not any("mask_logits" in problem for problem in report.problems)
    assert report.comparable_frames == 2


def test_a_tie_is_listed_and_does_not_fail(micro_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def swap(outputs: Arrays) -> None:
        swap_kept(outputs, "kept_map_selection", 96)
        swap_kept(outputs, "kept_selection_6", 96)

    perturbed = PerturbedEngine(engine, swap, first_frame=2, free=False)
    report = check_parity(micro_bundle, perturbed, frames, reference=ScoredReference(engine))
    assert report.problems == []
    assert report.summary()["ties"] == 2
    ties, *others = report.notes
    assert ties.startswith("frame 2, map_selection: tie of tokens ")
    assert others == [
        "frame 2, selection_6: 2 differing tokens follow from an earlier selection point",
        "the video has 3 of the 30 frames asked for",
        "tensors were not judged in 1 of 3 frames, where kept tokens differ",
    ]


def test_ties_in_every_frame_prove_nothing(micro_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def swap(outputs: Arrays) -> None:
        first_point = next(name for name in outputs if name.startswith("kept_"))
        swap_kept(outputs, first_point, 96)

    perturbed = PerturbedEngine(engine, swap, first_frame=0, free=False)
    report = check_parity(micro_bundle, perturbed, frames, reference=ScoredReference(engine))
    assert failure(report).startswith("kept tokens differ in each of the 3 frames: no tensor could be judged")


def test_a_repeated_token_is_named(micro_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def repeat(outputs: Arrays) -> None:
        outputs["kept_selection_9"][1] = outputs["kept_selection_9"][0]

    report = check_parity(micro_bundle, PerturbedEngine(engine, repeat), frames, reference=engine)
    assert failure(report) == "frame 1, selection_9: values that are not strictly ascending (teacher-forced)"


def test_a_missing_candidate_and_a_wrong_count_are_named(
    micro_bundle: Bundle, engine: Engine, frames: list[Frame]
) -> None:
    def lose(outputs: Arrays) -> None:  # the best candidate, whose row a query without meaning takes
        probability = np.exp(outputs["class_logits"])
        probability = probability[:, :-1].max(axis=1) / probability.sum(axis=1)
        queries = outputs["query_indices"]
        best = np.where(queries < engine.manifest.detection.num_queries, probability, 0).argmax()
        lost.append(int(queries[best]))
        unused = np.setdiff1d(np.arange(62, dtype=np.int32), queries)[-1]
        outputs["query_indices"] = np.append(np.delete(queries, best), unused)
        for name in ("class_logits", "mask_logits", "query_features"):
            rows = outputs[name]
            outputs[name] = np.concatenate([np.delete(rows, best, axis=0), np.zeros_like(rows[:1])])
        outputs["candidates"] -= 1

    lost: list[int] = []
    report = check_parity(micro_bundle, PerturbedEngine(engine, lose), frames, reference=engine)
    assert not report.passed
    assert f"frame 1, query_indices: query {lost[0]} on one side only (teacher-forced)" in report.problems
    assert any(problem.startswith("frame 1, candidates: ") for problem in report.problems)


def test_a_track_lost_in_free_running_is_named(micro_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def forget(outputs: Arrays) -> None:  # nothing but "no object"
        outputs["class_logits"][:, -1] += 50

    perturbed = PerturbedEngine(engine, forget, first_frame=2, forced=False)
    report = check_parity(micro_bundle, perturbed, frames, reference=engine)
    lost = len(report.frames[2].tracks.only_reference)
    assert lost == report.frames[2].tracks.tracks > 0
    assert failure(report).startswith("frame 2, tracks: identit")
    assert "tracks: the same in 66.7% of the frames < 100.0% (free-running)" in report.problems


def test_a_lower_precision_has_a_lower_bar(micro_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def add(outputs: Arrays) -> None:
        outputs["mask_logits"] += 1e-2

    half = PerturbedEngine(engine, add)
    half.precision = "float16"
    assert check_parity(micro_bundle, half, frames, reference=engine).passed
    half.precision = "int4"
    with pytest.raises(UsageError, match="no parity tolerances for precision 'int4'"):
        check_parity(micro_bundle, half, frames, reference=engine)


def test_a_broken_reference_proves_nothing(micro_bundle: Bundle, engine: Engine, frames: list[Frame]) -> None:
    def break_state(state: Arrays) -> None:
        state["deep"][0, 0] = np.nan

    report = check_parity(micro_bundle, engine, frames[:2], reference=PerturbedEngine(engine, state=break_state))
    assert failure(report) == "frame 1, deep: 1 NaN or infinite values in the PyTorch reference"


def test_full_capacities_are_noted(report: ParityReport) -> None:
    crowded = replace(report.frames[0], candidates_dropped=(2, 3), tracks_not_fed=(0, 1))
    assert replace(report, frames=(crowded,), requested_frames=1).notes == [
        "frame 0: 2 queries did not fit max_detections (engine: 3)",
        "frame 0: 0 tracks did not fit max_tracks (engine: 1)",
    ]


def test_an_engine_of_another_bundle_and_impossible_calls_are_refused(
    micro_bundle: Bundle, engine: Engine, frames: list[Frame]
) -> None:
    other = Bundle(micro_bundle.path, micro_bundle.manifest.model_copy(update={"patch_size": 8}))
    with pytest.raises(UsageError, match="was not made from bundle"):
        check_parity(other, engine, frames, reference=engine)
    with pytest.raises(UsageError, match="frames is 0"):
        check_parity(micro_bundle, engine, frames, frames=0, reference=engine)
    with pytest.raises(UsageError, match="no frame to compare"):
        check_parity(micro_bundle, engine, [], reference=engine)


def test_the_reference_scores_explain_what_it_keeps(torch_engine: TorchEngine, frames: list[Frame]) -> None:
    session = VideoSession(torch_engine)
    for frame in frames[:2]:
        before: StreamState = session.stream.snapshot()
        inputs = session.prepare(frame)
        outputs = session.stream.run(inputs)
        session.complete(frame, outputs)
        scores = torch_engine.selection_scores(inputs, before)
        active = np.arange(96)
        assert list(scores) == [p.name for p in torch_engine.manifest.pruning_points if p.output in outputs]
        for name, values in scores.items():
            kept = outputs[f"kept_{name}"]
            best = active[np.argsort(-values[active], kind="stable")[: len(kept)]]
            np.testing.assert_array_equal(np.sort(best), kept)
            active = kept
