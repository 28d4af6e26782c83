"""Evaluation of classifiers: every picture through every engine of every bundle, then the scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.bundle.hashing import sha256_of_bytes
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import DatasetError, UsageError, VideoError
from vpp_deploy.files.names import distinct_names
from vpp_deploy.media.kinds import IMAGE_SUFFIXES
from vpp_deploy.media.overlap import ReadAhead
from vpp_deploy.tasks.classification.evaluation.dataset import (
    VIDEO_SUFFIXES,
    LabelledPictures,
    match_labels,
    open_pictures,
)
from vpp_deploy.tasks.classification.evaluation.report import (
    ClassificationEvaluation,
    ClassificationRun,
    ClassScores,
)
from vpp_deploy.tasks.classification.reader import read_pictures
from vpp_deploy.tasks.classification.session import ClassificationSession, Sample
from vpp_deploy.tasks.engines import check_engines, open_engine

_FIVE = 5


class Answer(NamedTuple):
    """What a model made of one file: its best label, and how many labels are before the right one."""

    best: int
    rank: int


def evaluate(
    bundles: Sequence[Bundle],
    data: LabelledPictures | Path | str,
    engines: Sequence[str | Engine] = ("onnxruntime",),
    *,
    annotations: Path | str | None = None,
    limit: int | None = None,
    keep_going: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> ClassificationEvaluation:
    """Measure how often classifiers are right. See `vpp_deploy.evaluate`.

    Of a file with several pictures, or clips, the probabilities are averaged.

    Args:
        bundles: of models of images, or all of clips; each is evaluated on each engine.
        data: a folder or a table, or what `open_pictures` made of one.
        engines: `torch`, names of backends whose engine is built, or engines of the one bundle.
        annotations: see `open_pictures`.
        limit: see `open_pictures`.
        keep_going: see `open_pictures`.
        progress: called before each file of each run, and at the end.

    Raises:
        UsageError: a model without classes; models of images and of clips together; no engine, an unknown one, one
            twice, or one of another bundle.
        DatasetError: see `open_pictures`; or a class that a model does not have; or every file has a fault.
        VideoError: a file cannot be decoded.
    """
    check_engines(engines)
    if not isinstance(data, LabelledPictures):
        data = open_data(bundles, data, annotations, limit=limit, keep_going=keep_going)
    manifests = _manifests(bundles)
    matches = [match_labels(data, m.class_names, m.model.dataset) for m in manifests]
    faults: dict[int, str] = {}
    runs: list[_Run] = []
    total = len(data.files) * len(bundles) * len(engines)
    called = distinct_names([bundle.path for bundle in bundles])
    for bundle, name, manifest, (labels, _) in zip(bundles, called, manifests, matches, strict=True):
        truths = [labels[label] for label in data.labels]
        for chosen in engines:
            engine = open_engine(bundle, chosen) if isinstance(chosen, str) else chosen
            if engine.manifest != bundle.manifest:
                raise UsageError(f"the {engine.backend} engine was not made from bundle {bundle.path}")
            begin, answers = len(runs) * len(data.files), {}
            what = f"{name}, {engine.backend}" if len(bundles) > 1 else engine.backend
            progress(begin, total, what)
            for number, scores in _probabilities(engine, data, faults):
                answers[number] = _answer(scores, truths[number])
                progress(begin + number + 1, total, f"{what}: {data.name(number)}")
            runs.append(_Run(name, manifest, engine.backend, truths, answers))
    sound = [number for number in range(len(data.files)) if number not in faults]
    if not sound:
        raise DatasetError(f"{data.data}: every file has a fault, the first one: {next(iter(faults.values()))}")
    return ClassificationEvaluation(
        data=str(data.data),
        matched=", ".join(dict.fromkeys(how for _, how in matches)),
        runs=tuple(_scored(run, None if run is runs[0] else runs[0], sound) for run in runs),
        skipped=(*data.skipped, *((data.name(number), reason) for number, reason in sorted(faults.items()))),
        data_hash=_data_hash(data, sound),
    )


def open_data(
    bundles: Sequence[Bundle],
    data: Path | str,
    annotations: Path | str | None = None,
    *,
    limit: int | None = None,
    keep_going: bool = False,
) -> LabelledPictures:
    """Open what `evaluate` takes for these bundles: pictures, or videos of models of clips; see `open_pictures`.

    Raises:
        UsageError, DatasetError: see `evaluate`.
    """
    suffixes = IMAGE_SUFFIXES if _manifests(bundles)[0].clip is None else VIDEO_SUFFIXES
    return open_pictures(data, annotations, limit=limit, keep_going=keep_going, suffixes=suffixes)


def _manifests(bundles: Sequence[Bundle]) -> list[ClassificationManifest]:
    manifests = [ClassificationManifest.of(bundle.manifest, "evaluation of classifiers") for bundle in bundles]
    for manifest in manifests:
        if manifest.features is not None:
            raise UsageError(f"{manifest.model.name} gives features and no classes, so that none can be right")
    if len({manifest.clip is None for manifest in manifests}) > 1:
        raise UsageError("models of images and of clips cannot be evaluated on the same files; evaluate them apart")
    return manifests


class _Run(NamedTuple):
    """An engine's answers, by the file's number."""

    bundle: str
    manifest: ClassificationManifest
    engine: str
    truths: Sequence[int]
    answers: Mapping[int, Answer]


def _probabilities(
    engine: Engine, data: LabelledPictures, faults: dict[int, str]
) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """The probability of each label, `[classes]`, for each file's number; with `keep_going` faults are noted."""
    manifest = ClassificationManifest.of(engine.manifest, "evaluation of classifiers")
    session = ClassificationSession(engine, top=len(manifest.class_names))
    with ReadAhead(_samples(session, data, faults), 2 * manifest.batch) as samples:
        clips: dict[int, list[npt.NDArray[np.float64]]] = {}
        while batch := list(islice(samples, manifest.batch)):
            results = session([sample for _, sample in batch])
            for (number, _), result in zip(batch, results, strict=True):
                scores = np.empty(len(result.labels))
                scores[result.labels] = result.scores
                for done in [other for other in clips if other != number]:
                    yield done, np.mean(clips.pop(done), axis=0)
                clips.setdefault(number, []).append(scores)
        for number, left in clips.items():
            yield number, np.mean(left, axis=0)


def _samples(
    session: ClassificationSession, data: LabelledPictures, faults: dict[int, str]
) -> Iterator[tuple[int, Sample]]:
    """The image, or the clips, of each file. Runs in the reading thread, which alone adds faults."""
    for number, file in enumerate(data.files):
        if number in faults:
            continue
        try:
            with read_pictures(file, session.manifest) as reader:
                for sample in session.samples(reader):
                    yield number, sample
                if reader.problem:
                    raise VideoError(f"{file}: {reader.problem}")
        except VideoError as error:
            if not data.keep_going:
                raise
            faults[number] = str(error)


def _answer(scores: npt.NDArray[np.float64], truth: int) -> Answer:
    order = np.argsort(-scores, kind="stable")
    return Answer(int(order[0]), int(np.flatnonzero(order == truth)[0]))


def _scored(run: _Run, first: _Run | None, sound: Sequence[int]) -> ClassificationRun:
    """The scores over the files that no run had a fault in."""
    manifest, names = run.manifest, run.manifest.class_names
    ranks: dict[int, list[int]] = {}
    for number in sound:
        ranks.setdefault(run.truths[number], []).append(run.answers[number].rank)
    every = [rank for own in ranks.values() for rank in own]
    same = [run.answers[number].best == first.answers[number].best for number in sound] if first else []
    return ClassificationRun(
        bundle=run.bundle,
        engine=run.engine,
        keep=manifest.model.keep_schedule,
        top1=_percent(every, 1),
        top5=_percent(every, _FIVE) if len(names) > _FIVE else None,
        by_class=[
            ClassScores(
                label, names[label], len(own), _percent(own, 1), _percent(own, _FIVE) if len(names) > _FIVE else None
            )
            for label, own in sorted(ranks.items())
        ],
        agreement=100 * sum(same) / len(same) if same else None,
        kept={point.name: point.kept / prod(point.grid) for point in manifest.pruning_points},
        cost=manifest.cost.pruned / manifest.cost.dense,
        gflops=manifest.cost.pruned / 1e9,
        images=len(sound),
        bundle_hash=manifest.bundle_hash,
    )


def _data_hash(data: LabelledPictures, scored: Sequence[int]) -> str:
    pairs = sorted((data.name(number), data.labels[number]) for number in scored)
    return sha256_of_bytes(json.dumps(pairs).encode())


def _percent(ranks: Sequence[int], best: int) -> float:
    """Of files whose right label is among so many best ones."""
    return 100 * sum(rank < best for rank in ranks) / len(ranks)
