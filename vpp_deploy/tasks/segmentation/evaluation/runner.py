"""Evaluation: every video through every engine, then the scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import fmean

from vpp_deploy._version import __version__
from vpp_deploy.bundle.hashing import sha256_of_bytes, sha256_of_file
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import DatasetError, UsageError, VideoError
from vpp_deploy.files.names import distinct_names
from vpp_deploy.tasks.engines import open_engine
from vpp_deploy.tasks.segmentation.evaluation.dataset import Dataset, Skipped, Video, match_categories, open_dataset
from vpp_deploy.tasks.segmentation.evaluation.engines import Mode, check_mode, engine_record
from vpp_deploy.tasks.segmentation.evaluation.metrics import import_trackeval, score
from vpp_deploy.tasks.segmentation.evaluation.predictions import PredictionStore, VideoPredictions, predict
from vpp_deploy.tasks.segmentation.evaluation.report import EvaluationReport, EvaluationRun
from vpp_deploy.tasks.segmentation.evaluation.submission import read_submission
from vpp_deploy.tasks.segmentation.session import VideoSession

Progress = Callable[[int, int, str], None]
"""Called before each video of each engine, and at the end: the number done, the number in all, and what is next."""


def evaluate(
    bundle: Bundle | Sequence[Bundle],
    data: Dataset | Path | str,
    engines: Sequence[str | Engine] = ("onnxruntime",),
    *,
    annotations: Path | str | None = None,
    limit: int | None = None,
    keep_going: bool = False,
    mode: Mode = "topk",
    work: Path | str | None = None,
    keep_work: bool = True,
    progress: Progress = lambda done, total, what: None,
) -> EvaluationReport:
    """Measure the task accuracy of bundles on a data set in YouTube-VIS layout.

    Each video is a session of its own, without selection noise; frames are decoded at their own size and masks are
    scored at that size. Objects of classes that the data set does not have are left out.

    Args:
        bundle: an open bundle, or several, each of which is evaluated on each engine.
        data: what to evaluate on: a folder, or what `open_dataset` made of one.
        engines: `torch` (the PyTorch reference), names of backends whose engine is built, or engines of the one bundle.
        annotations: of a folder, see `open_dataset`.
        limit: only the first so many videos of a folder; None takes all.
        keep_going: of a folder, see `open_dataset`.
        mode: `threshold` selects tokens as in training, for `torch` by name only.
        work: folder in which the predictions are kept video by video, so that a second call with the same bundle,
            engine, mode and annotations goes on where the first one ended; None keeps nothing.
        keep_work: leave the predictions there after a success.
        progress: see `Progress`.

    Raises:
        UsageError: no engine, an unknown one, one twice; `threshold` with another one than `torch`; an engine of
            another bundle.
        DatasetError: the data set is not sound, see `open_dataset`, or has a class that the model does not have.
        VideoError: a frame cannot be decoded.
        OutputError: the work folder cannot be written to.
        DependencyError: TrackEval is not installed, or what an engine needs.
        IncompatibleEngineError: an engine is not built, or does not fit.
    """
    check_mode(engines, mode)
    import_trackeval()
    bundles = [bundle] if isinstance(bundle, Bundle) else bundle
    manifests = [SegmentationManifest.of(one.manifest, "evaluation of instances") for one in bundles]
    if not isinstance(data, Dataset):
        data = open_dataset(data, annotations, videos=limit, keep_going=keep_going)
    dataset = data
    matches = [match_categories(dataset, manifest.class_names) for manifest in manifests]
    faults: dict[int, Skipped] = {}
    found: list[tuple[str, SegmentationManifest, str, dict[int, VideoPredictions]]] = []
    stores, called = [], distinct_names([one.path for one in bundles])
    done, total = count(), len(dataset.videos) * len(engines) * len(bundles)
    with ExitStack() as stack:
        for one, name, manifest, categories in zip(bundles, called, manifests, matches, strict=True):
            for chosen in engines:
                engine = open_engine(one, chosen, mode) if isinstance(chosen, str) else chosen
                if engine.manifest != one.manifest:
                    raise UsageError(f"the {engine.backend} engine was not made from bundle {one.path}")
                store = None
                if work is not None:
                    store = PredictionStore(Path(work), fingerprint(one, engine.backend, mode, dataset))
                    stack.callback(store.tidy)
                    stores.append(store)
                predictions = {}
                what = f"{name}, {engine.backend}" if len(bundles) > 1 else engine.backend
                for video in dataset.videos:
                    progress(next(done), total, f"{what}: {video.name}")
                    if video.id not in faults:
                        with _noting(faults, video, dataset.keep_going):
                            predictions[video.id] = _predict(store, engine, video, categories)
                found.append((name, manifest, engine.backend, predictions))
        progress(next(done), total, "scores")
        sound = _sound(dataset, faults)
        runs = [_run(*run, mode, dataset, sound) for run in found]
        if not keep_work:
            for store in stores:
                store.clear()
    return EvaluationReport(
        bundle=called[0] if len(bundles) == 1 else None,
        data=str(dataset.folder),
        annotations=str(dataset.annotations),
        runs=tuple(runs),
        skipped=(*dataset.skipped, *faults.values()),
        data_hash=_data_hash(dataset, sound),
    )


def open_data(
    bundles: Sequence[Bundle],
    data: Path | str,
    annotations: Path | str | None = None,
    *,
    limit: int | None = None,
    keep_going: bool = False,
) -> Dataset:
    """Open what `evaluate` takes, whatever the bundles: see `open_dataset`."""
    return open_dataset(data, annotations, videos=limit, keep_going=keep_going)


def evaluate_predictions(predictions: Path | str, data: Dataset | Path | str) -> EvaluationReport:
    """Score a file of predictions in the official submission format, as JSON or zipped.

    Args:
        predictions: the file, see `read_submission`.
        data: what to evaluate on: a folder, or what `open_dataset` made of one.

    Raises:
        DatasetError: the data set is not sound; the file is not a submission, or does not fit the data set.
        DependencyError: TrackEval is not installed.
    """
    import_trackeval()
    dataset = data if isinstance(data, Dataset) else open_dataset(data)
    path = Path(predictions)
    run = EvaluationRun(
        bundle=None,
        engine=path.name,
        mode=None,
        keep=None,
        scores=score(dataset.categories, dataset.videos, read_submission(path, dataset)),
        kept=None,
        kept_by_blocks=None,
        objects_kept=None,
        videos=len(dataset.videos),
        frames=_frames(dataset.videos),
    )
    data_hash = _data_hash(dataset, dataset.videos)
    return EvaluationReport(None, str(dataset.folder), str(dataset.annotations), (run,), dataset.skipped, data_hash)


def fingerprint(bundle: Bundle, engine: str, mode: Mode, dataset: Dataset) -> str:
    """16 hex digits that differ wherever predictions could: bundle, engine as built, mode, annotations, version."""
    record = engine_record(bundle, engine)
    parts = {
        "vpp_deploy": __version__,
        "manifest": bundle.manifest.model_dump(mode="json"),
        "engine": [engine, record and sha256_of_file(record)],
        "mode": mode,
        "annotations": dataset.sha256,
    }
    return sha256_of_bytes(json.dumps(parts, sort_keys=True).encode())[:16]


@contextmanager
def _noting(faults: dict[int, Skipped], video: Video, keep_going: bool) -> Iterator[None]:
    """With `keep_going`, a fault of the video ends the block and is noted; without, it is raised."""
    try:
        yield
    except (DatasetError, VideoError) as error:
        if not keep_going:
            raise
        faults[video.id] = Skipped(video.name, str(error))


def _predict(
    store: PredictionStore | None, engine: Engine, video: Video, categories: Mapping[int, int]
) -> VideoPredictions:
    predictions = store.load(video) if store else None
    if predictions is None:
        predictions = predict(VideoSession(engine), video, categories)
        if store:
            store.save(video, predictions)
    return predictions


def _sound(dataset: Dataset, faults: Mapping[int, Skipped]) -> list[Video]:
    sound = [video for video in dataset.videos if video.id not in faults]
    if not sound:
        first = next(iter(faults.values()))
        raise DatasetError(f"{dataset.annotations}: every video has a fault, the first one: {first.reason}")
    return sound


def _run(
    bundle: str,
    manifest: SegmentationManifest,
    engine: str,
    predictions: Mapping[int, VideoPredictions],
    mode: Mode,
    dataset: Dataset,
    videos: Sequence[Video],
) -> EvaluationRun:
    found = [predictions[video.id] for video in videos]
    points = [point.name for point in manifest.pruning_points]
    kept = {point: [ratio for video in found for ratio in (video.kept or {}).get(point, [])] for point in points}
    objects = {
        point: [pair for video in found for pair in (video.objects_kept or {}).get(point, [])] for point in points
    }
    return EvaluationRun(
        bundle=bundle,
        engine=engine,
        mode=mode,
        keep=_keep(manifest),
        scores=score(dataset.categories, videos, predictions),
        kept={point: fmean(ratios) for point, ratios in kept.items() if ratios},
        kept_by_blocks=fmean(share for video in found for share in video.kept_by_blocks or []),
        objects_kept={
            point: sum(kept for kept, _ in pairs) / total
            for point, pairs in objects.items()
            if (total := sum(total for _, total in pairs))
        },
        videos=len(videos),
        frames=_frames(videos),
        bundle_hash=manifest.bundle_hash,
    )


def _data_hash(dataset: Dataset, scored: Iterable[Video]) -> str:
    names = sorted(video.name for video in scored)
    return sha256_of_bytes(json.dumps([dataset.sha256, *names]).encode())


def _keep(manifest: SegmentationManifest) -> str:
    """The keep schedule: its name, or its ratios."""
    if manifest.model.keep_schedule != "custom":
        return manifest.model.keep_schedule
    return ",".join(f"{point.keep_ratio:g}" for point in manifest.pruning_points)


def _frames(videos: Iterable[Video]) -> int:
    return sum(len(video.files) for video in videos)
