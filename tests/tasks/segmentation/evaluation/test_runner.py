from __future__ import annotations

import json
from pathlib import Path

import pytest

import vpp_deploy
from tests.tasks.segmentation.evaluation.datasets import edit
from tests.tasks.segmentation.parity.perturbed import Arrays, PerturbedEngine
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import DatasetError, IncompatibleEngineError, OutputError, UsageError, VideoError
from vpp_deploy.families.vpp.reference import TorchEngine
from vpp_deploy.tasks.segmentation.evaluation import evaluate, evaluate_predictions, open_dataset
from vpp_deploy.tasks.segmentation.evaluation.coverage import object_patches
from vpp_deploy.tasks.segmentation.evaluation.predictions import mean_over_blocks
from vpp_deploy.tasks.segmentation.evaluation.runner import fingerprint
from vpp_deploy.tasks.segmentation.session import VideoSession
from vpp_deploy.tasks.segmentation.writers import YouTubeVisWriter

FRAMES = 3


@pytest.fixture(scope="module")
def engine(micro_bundle: Bundle) -> Engine:
    return vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1)


class Counting(PerturbedEngine):
    """An engine that counts frames, and stops working after some."""

    def __init__(self, engine: Engine, limit: int | None = None) -> None:
        super().__init__(engine, self._count, first_frame=0)
        self.frames, self._limit = 0, limit

    def _count(self, outputs: Arrays) -> None:
        if self.frames == self._limit:
            raise RuntimeError("out of memory")
        self.frames += 1


def copy(found_dataset: Path, tmp_path: Path) -> Path:
    """The data set with an annotation file and frames of one's own."""
    for path in found_dataset.rglob("*"):
        target = tmp_path / "data" / path.relative_to(found_dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.write_bytes(path.read_bytes())
    return tmp_path / "data"


def test_an_engine_scores_like_the_reference_whose_findings_are_the_truth(
    micro_bundle: Bundle, torch_engine: TorchEngine, engine: Engine, found_dataset: Path
) -> None:
    done: list[tuple[int, int, str]] = []
    report = evaluate(micro_bundle, found_dataset, [torch_engine, engine], progress=lambda *counts: done.append(counts))
    assert [(number, total) for number, total, _ in done] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    videos = [video.name for video in open_dataset(found_dataset).videos]
    assert [what for *_, what in done] == [
        *(f"{name}: {video}" for name in ("torch", "onnxruntime") for video in videos),
        "scores",
    ]
    reference, tested = report.runs
    assert (reference.engine, tested.engine) == ("torch", "onnxruntime")
    assert reference.scores.ap_track == reference.scores.ap_track_75 == pytest.approx(100)
    assert reference.scores.map_segm > 50  # a track's label may differ from that of one of its frames
    for run in report.runs:
        assert (run.mode, run.keep, run.videos, run.frames) == ("topk", "0.55", 2, 6)
        assert run.scores.ap_track == pytest.approx(reference.scores.ap_track, abs=0.1)
        assert run.scores.map_bbox == pytest.approx(reference.scores.map_bbox, abs=0.1)
        assert run.scores.map_segm == pytest.approx(reference.scores.map_segm, abs=0.1)
    assert report.skipped == ()


def test_the_report_is_json(micro_bundle: Bundle, engine: Engine, found_dataset: Path) -> None:
    report = json.loads(json.dumps(evaluate(micro_bundle, found_dataset, [engine]).to_dict(), allow_nan=False))
    assert set(report) == {"schema", "bundle", "data", "annotations", "data_hash", "runs", "skipped"}
    assert (report["schema"], report["bundle"], report["data"]) == (1, "micro.bundle", str(found_dataset))
    assert set(report["runs"][0]) == {
        "engine", "mode", "keep", "ap_track", "ap_track_50", "ap_track_75", "ap_track_by_class", "map_bbox", "map_segm",
            "map_bbox_by_class", "map_segm_by_class", "bundle", "bundle_hash", "differences",
        "kept", "kept_by_blocks", "objects_kept", "videos", "frames",
    }  # fmt: skip


def test_kept_shares_are_means_over_the_frames(micro_bundle: Bundle, engine: Engine, found_dataset: Path) -> None:
    (run,) = evaluate(micro_bundle, found_dataset, [engine]).runs
    manifest = micro_bundle.manifest
    tokens = manifest.token_grid[0] * manifest.token_grid[1]
    mapped, *others = manifest.pruning_points
    assert run.kept == {point.name: pytest.approx(point.kept / tokens) for point in (mapped, *others)}
    later = sum(3 * point.kept / tokens for point in others)
    first, step = (3 + later) / 12, (1 + 2 * mapped.kept / tokens + later) / 12
    assert run.kept_by_blocks == pytest.approx((first + 2 * step) / FRAMES)
    assert mean_over_blocks(manifest, {}) == 1


def test_kept_object_patches_are_counted(micro_bundle: Bundle, engine: Engine, found_dataset: Path) -> None:
    dataset = open_dataset(found_dataset)
    (run,) = evaluate(micro_bundle, dataset, [engine]).runs
    point = micro_bundle.manifest.pruning_points[-1].name
    kept = total = 0
    for video in dataset.videos:
        session = VideoSession(engine)
        for frame in video.frames(engine.frame_size):
            positions = session(frame).kept[point]
            covered = object_patches(video.masks(frame.index), frame, micro_bundle.manifest.token_grid)
            kept, total = kept + covered[positions].sum(), total + covered.sum()
    assert 0 < kept < total
    assert run.objects_kept[point] == pytest.approx(kept / total)


def test_what_is_scored_is_what_a_submission_holds(
    micro_bundle: Bundle, engine: Engine, found_dataset: Path, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    dataset = open_dataset(found_dataset)
    with YouTubeVisWriter(path, dataset.videos[0].id) as writer:
        for number, video in enumerate(dataset.videos):
            if number:
                writer.start_video(video.id)
            session = VideoSession(engine)
            for frame in video.frames(engine.frame_size):
                writer.write(session(frame))
    (submitted,), (run,) = evaluate_predictions(path, dataset).runs, evaluate(micro_bundle, dataset, [engine]).runs
    assert submitted.scores.ap_track_by_class == run.scores.ap_track_by_class
    assert submitted.scores.ap_track == run.scores.ap_track


def test_a_run_that_was_cut_off_goes_on_where_it_ended(
    micro_bundle: Bundle, engine: Engine, found_dataset: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    broken = Counting(engine, limit=FRAMES + 1)
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate(micro_bundle, found_dataset, [broken], work=work)
    assert broken.frames == FRAMES + 1
    assert [path.name for path in work.rglob("*") if path.is_file()] == ["1.json"]

    second = Counting(engine)
    resumed = evaluate(micro_bundle, found_dataset, [second], work=work)
    assert second.frames == FRAMES
    assert resumed == evaluate(micro_bundle, found_dataset, [engine])

    third = Counting(engine)
    assert evaluate(micro_bundle, found_dataset, [third], work=work) == resumed
    assert third.frames == 0


def test_stale_predictions_are_not_used(
    micro_bundle: Bundle, engine: Engine, found_dataset: Path, tmp_path: Path
) -> None:
    folder, work = copy(found_dataset, tmp_path), tmp_path / "work"

    def frames_run() -> int:
        counting = Counting(engine)
        evaluate(micro_bundle, folder, [counting], work=work)
        return counting.frames

    assert [frames_run(), frames_run()] == [2 * FRAMES, 0]
    image = folder / "JPEGImages" / "video_1" / "00000.jpg"
    image.write_bytes(image.read_bytes() + b" ")
    assert [frames_run(), frames_run()] == [FRAMES, 0]
    edit(folder / "instances.json", lambda content: content.update(info="new"))
    assert [frames_run(), frames_run()] == [2 * FRAMES, 0]
    damaged = next(path for path in work.rglob("1.json"))
    for path in work.rglob("1.json"):
        path.write_bytes(damaged.read_bytes()[:100])
    assert [frames_run(), frames_run()] == [FRAMES, 0]


def test_what_the_fingerprint_depends_on(micro_bundle: Bundle, found_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(found_dataset)
    manifest = micro_bundle.manifest
    dense = manifest.model_copy(update={"model": manifest.model.model_copy(update={"keep_schedule": "dense"})})
    unbuilt = Bundle(tmp_path, manifest)
    prints = [
        fingerprint(micro_bundle, "onnxruntime", "topk", dataset),
        fingerprint(micro_bundle, "torch", "topk", dataset),
        fingerprint(micro_bundle, "torch", "threshold", dataset),
        fingerprint(unbuilt, "onnxruntime", "topk", dataset),
        fingerprint(Bundle(micro_bundle.path, dense), "torch", "topk", dataset),
    ]
    assert len(set(prints)) == len(prints)
    assert prints[0] == fingerprint(micro_bundle, "onnxruntime", "topk", open_dataset(found_dataset, videos=1))


def test_a_broken_frame_ends_the_run_or_leaves_its_video_out_for_all_engines(
    micro_bundle: Bundle, engine: Engine, torch_engine: TorchEngine, found_dataset: Path, tmp_path: Path
) -> None:
    folder = copy(found_dataset, tmp_path)
    image = folder / "JPEGImages" / "video_1" / "00001.jpg"
    image.write_bytes(image.read_bytes()[:-400])
    with pytest.raises(VideoError, match=r"00001.jpg: not a readable image"):
        evaluate(micro_bundle, folder, [engine])
    report = evaluate(micro_bundle, open_dataset(folder, keep_going=True), [torch_engine, engine])
    assert [run.videos for run in report.runs] == [1, 1]
    (skipped,) = report.skipped
    assert skipped.video == "video_1"
    assert str(image) in skipped.reason

    other = folder / "JPEGImages" / "video_2" / "00002.jpg"
    other.write_bytes(b"")
    with pytest.raises(DatasetError, match="every video has a fault"):
        evaluate(micro_bundle, open_dataset(folder, keep_going=True), [engine])


def test_selection_by_threshold(micro_bundle: Bundle, found_dataset: Path) -> None:
    threshold, topk = (
        evaluate(micro_bundle, found_dataset, ["torch"], mode=mode).runs[0] for mode in ("threshold", "topk")
    )
    assert (threshold.engine, threshold.mode) == ("torch", "threshold")
    assert list(threshold.kept) == list(topk.kept)
    assert threshold.kept["map_selection"] == topk.kept["map_selection"]  # always a fixed number
    assert threshold.kept["selection_3"] != topk.kept["selection_3"]


def test_a_frame_that_keeps_nothing_makes_the_next_one_run_on_all(
    micro_bundle: Bundle, found_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vpp_deploy.families.vpp.selection import SelectiveModule

    forward = SelectiveModule.forward
    monkeypatch.setattr(SelectiveModule, "forward", lambda self, *inputs: 0 * forward(self, *inputs))
    (run,) = evaluate(micro_bundle, found_dataset, ["torch"], mode="threshold").runs
    assert run.kept == {"map_selection": 1, "selection_3": 0, "selection_6": 0, "selection_9": 0}
    assert run.kept_by_blocks == 3 / 12


def test_calls_that_make_no_sense(
    micro_bundle: Bundle, engine: Engine, torch_engine: TorchEngine, found_dataset: Path, tmp_path: Path
) -> None:
    for engines, mode, reason in [
        ([], "topk", "no engine"),
        (["abacus"], "topk", "unknown engine 'abacus'; use one of torch, onnxruntime"),
        (["torch", "torch"], "topk", "each can be evaluated once"),
        (["torch", "onnxruntime"], "threshold", "for torch, not for onnxruntime"),
    ]:
        with pytest.raises(UsageError, match=reason):
            evaluate(micro_bundle, found_dataset, engines, mode=mode)
    with pytest.raises(UsageError, match="by threshold is for torch"):
        evaluate(micro_bundle, found_dataset, [torch_engine], mode="threshold")
    manifest = micro_bundle.manifest.model_copy(update={"class_names": ("circle", "square", "triangle", "star", "x")})
    with pytest.raises(DatasetError, match="category 'ring' is none of the model's 5 classes"):
        evaluate(Bundle(micro_bundle.path, manifest), found_dataset, [engine])
    other = micro_bundle.manifest.model_copy(update={"patch_size": 8})
    with pytest.raises(UsageError, match="was not made from bundle"):
        evaluate(Bundle(micro_bundle.path, other), found_dataset, [engine])
    with pytest.raises(IncompatibleEngineError, match=r"vpp-deploy build-engine .* --engine onnxruntime"):
        evaluate(Bundle(tmp_path, micro_bundle.manifest), found_dataset, ["onnxruntime"])
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        evaluate(micro_bundle, found_dataset, [engine], work=tmp_path / "file")
