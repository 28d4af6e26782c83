"""Tasks: what comes out of a model and what a user does with it. No PyTorch.

`TASKS` names them; a bundle's manifest says which one it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vpp_deploy.arguments import checked
from vpp_deploy.errors import UsageError
from vpp_deploy.registry import Registry
from vpp_deploy.tasks.task import OpenData, Task

if TYPE_CHECKING:
    from vpp_deploy.bundle.manifest import Manifest
    from vpp_deploy.bundle.reader import Bundle
    from vpp_deploy.engines.protocols import Engine

DEFAULT: Final = "onnxruntime"
"""The engine that every machine can build and run."""

TASKS: Final[Registry[Task]] = Registry(
    "task",
    {
        "segmentation": "vpp_deploy.tasks.segmentation:TASK",
        "classification": "vpp_deploy.tasks.classification:TASK",
        "tensors": "vpp_deploy.tasks.tensors:TASK",
    },
    Task,
)


def open_session(engine: Engine, **options: Any) -> Any:
    """The session of an engine's task: `VideoSession`, `ClassificationSession` or `TensorSession`.

    Args:
        engine: any engine.
        options: of the session, e.g. `noise_seed` of a `VideoSession`, `top` of a `ClassificationSession`.

    Raises:
        UsageError: not an engine; and see the session.
    """
    from vpp_deploy.engines.protocols import check_engine

    check_engine("open_session", engine)
    _refuse_unused(options, engine.manifest)
    return TASKS[engine.manifest.task].open_session(engine, **options)


def _refuse_unused(options: Mapping[str, Any], manifest: Manifest) -> None:
    """See that options of a session mean something to its model.

    Raises:
        UsageError: one does not.
    """
    for name, why in TASKS[manifest.task].unused(manifest).items():
        if options.get(name) is not None:
            raise UsageError(f"{name}: {manifest.model.name} {why}; leave it out")


@checked
def load(
    bundle: Bundle | str | PathLike[str], engine: str = "onnxruntime", *, max_memory: int | None = None, **options: Any
) -> Any:
    """A model that is ready to use: pictures in, results out.

    Args:
        bundle: the folder that `export` wrote, or an open bundle.
        engine: a name in `BACKENDS`, whose engine the bundle has; `onnxruntime` is built if it has none. `torch` is the
            PyTorch reference.
        max_memory: see `Bundle.open`; for a folder.
        options: of loading the engine, e.g. `threads`; and of the model, e.g. `top` of a classifier.

    Returns:
        By the bundle's task: `SegmentationModel`, `ClassificationModel`, or the `TensorSession` of a model of plain
        tensors.

    Raises:
        BundleError: it is no bundle, or damaged.
        IncompatibleEngineError: the bundle has no such engine, or it does not fit.
        DependencyError, DeviceError, PluginError: something that the engine needs is not here.
        UsageError: an unknown engine or option.
    """
    from vpp_deploy.bundle.reader import Bundle
    from vpp_deploy.engines import BACKENDS, build_engine, load_engine
    from vpp_deploy.files.limits import MOST_MEMORY
    from vpp_deploy.options import options_of
    from vpp_deploy.tasks.engines import TORCH, open_engine

    if not isinstance(bundle, Bundle):
        bundle = Bundle.open(bundle, max_memory=MOST_MEMORY if max_memory is None else max_memory)
    task = TASKS[bundle.manifest.task]
    known = {option.name for backend in BACKENDS.values() for option in options_of(backend.load_options)}
    loading = {name: value for name, value in options.items() if name in known}
    opening = {name: value for name, value in options.items() if name not in known}
    _refuse_unused(opening, bundle.manifest)
    if engine == DEFAULT and not bundle.engine_folder(engine).exists():
        build_engine(bundle, engine)
    loaded = open_engine(bundle, TORCH) if engine == TORCH else load_engine(bundle, engine, **loading)
    try:
        return (task.open_model or task.open_session)(loaded, **opening)
    except TypeError as error:
        if not opening:
            raise
        raise UsageError(f"no engine and no {task.title} model knows the option {next(iter(opening))!r}") from error


@checked
def check_parity(
    bundle: Bundle,
    engine: Engine,
    source: str | PathLike[str] | Iterable[Any],
    *,
    frames: int | None = 30,
    reference: Engine | None = None,
    progress: Callable[[int, int | None], None] = lambda done, expected: None,
    interrupted: Callable[[Any, BaseException], None] = lambda report, error: None,
) -> Any:
    """Measure how far an engine is from the PyTorch reference on the same frames.

    Args:
        bundle: the bundle that the engine was made from.
        engine: the engine under test.
        source: what to run on: a video file, a folder of images or (classifiers) an image, frames at the engine's frame
            size in order; of a model of plain tensors an `.npz` file, or its inputs frame by frame.
        frames: how many frames (classifiers: images or clips) to compare at most; None takes all.
        reference: what to compare with; None builds the PyTorch reference (`open_reference`).
        progress: called with the number of frames done and, where it is known, the number to come in all.
        interrupted: called with the report on the frames until then and with the error, where one ends the comparison
            after the first frame; the error then goes on.

    Returns:
        The task's report: `passed`, `problems`, `notes`, `to_dict()`, `raise_for_failure()`. Nothing is stored in the
        bundle; see `vpp_deploy.parity.report_common.store`.

    Raises:
        UsageError: the engine is of another bundle; `frames` is below 1; there is no frame; a frame of another size.
        VideoError: the source cannot be read.
        DependencyError: PyTorch is not installed and no reference is given.
        CheckpointError, ConfigError: the bundle's weights or configuration do not make a reference.
    """
    from vpp_deploy.bundle.reader import check_open
    from vpp_deploy.engines.protocols import check_engine

    check_open(bundle)
    for one in (engine, *([] if reference is None else [reference])):
        check_engine("check_parity", one)
    if not isinstance(source, str | PathLike | Iterable):
        raise UsageError(f"source is {source!r:.80}; give a path, or frames in order")
    task = TASKS[bundle.manifest.task]
    return task.check_parity(
        bundle, engine, source, frames=frames, reference=reference, progress=progress, interrupted=interrupted
    )


@checked
def open_data(
    bundles: Sequence[Bundle],
    data: str | PathLike[str],
    annotations: str | PathLike[str] | None = None,
    *,
    limit: int | None = None,
    keep_going: bool = False,
) -> OpenData:
    """Open what `evaluate` takes as `data`: its files are known then, and none is decoded.

    Raises:
        UsageError, DatasetError: see `evaluate`.
    """
    opened: OpenData = _evaluated(bundles).open_data(
        bundles,
        Path(data),
        None if annotations is None else Path(annotations),
        limit=limit,
        keep_going=keep_going,
    )
    return opened


def _evaluated(bundles: Sequence[Bundle]) -> Any:
    """The task of bundles that can be evaluated side by side."""
    from vpp_deploy.bundle.reader import check_open

    for one in bundles:
        check_open(one)
    if not bundles or len({one.path.resolve() for one in bundles}) < len(bundles):
        raise UsageError("give at least one bundle, and each one once")
    names = list(dict.fromkeys(one.manifest.task for one in bundles))
    task = TASKS[names[0]]
    if len(names) > 1:
        raise UsageError(f"bundles for {' and for '.join(names)} cannot be evaluated together; evaluate them apart")
    if task.evaluate is None:
        raise UsageError(f"there is no measure of how well {task.title} models do their task; compare tensors: parity")
    return task


@checked
def evaluate(
    bundle: Bundle | Sequence[Bundle],
    data: Any,
    engines: str | Engine | Sequence[str | Engine] = (DEFAULT,),
    *,
    annotations: str | PathLike[str] | None = None,
    limit: int | None = None,
    keep_going: bool = False,
    mode: str = "topk",
    work: str | PathLike[str] | None = None,
    keep_work: bool = True,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Any:
    """Measure how well models do their task on a data set, engines and bundles side by side.

    Args:
        bundle: an open bundle; or several of one task, each of which is evaluated on each engine.
        data: of instances over time a folder in YouTube-VIS layout; of classes a folder with a folder of pictures (or
            videos) for each class, or a CSV file of path and label. Or what `open_data` made of one: then annotations,
            limit and keep_going are its own.
        engines: `torch` (the PyTorch reference), names of backends whose engine is built, or engines of the one bundle;
            one, or several in order.
        annotations: the annotation file of a YouTube-VIS folder; or a CSV file whose paths begin at the folder `data`.
        limit: only so many: of videos the first ones, of pictures some that are spread evenly. None takes all.
        keep_going: leave out what has a fault of its own instead of raising.
        mode: of instances over time: `threshold` selects tokens as in training, for `torch` by name only.
        work: of instances over time: folder in which the predictions are kept video by video, so that a second call
            with the same bundle, engine, mode and annotations goes on from there; None keeps nothing.
        keep_work: leave the predictions there after a success.
        progress: called with the number done, the number in all, and what is next.

    Returns:
        The task's report: `runs`, `skipped`, `to_dict()`.

    Raises:
        UsageError: no bundle, one twice, bundles of several tasks, or of one that has no such measure; an engine that
            is unknown, given twice or of another bundle; an option of another task.
        DatasetError: the data set is not sound, or has a class that a model does not have.
        VideoError: a picture cannot be decoded.
        DependencyError, IncompatibleEngineError: an engine is not built, does not fit, or needs what is not here.
    """
    from vpp_deploy.tasks.engines import check_engines

    bundles = list(bundle) if isinstance(bundle, Sequence) and not isinstance(bundle, str) else [bundle]
    task = _evaluated(bundles)
    own: dict[str, Any] = {"mode": mode, "work": work, "keep_work": keep_work} if task.keeps_predictions else {}
    if not own and (mode != "topk" or work is not None):
        raise UsageError(f"mode and work are not for {task.title} models; leave them out")
    engines = [engines] if isinstance(engines, str) or not isinstance(engines, Iterable) else list(engines)
    check_engines(engines)
    if work is not None:
        own["work"] = Path(work)
    if not isinstance(data, OpenData):
        data = open_data(bundles, data, annotations, limit=limit, keep_going=keep_going)
    return task.evaluate(
        bundles,
        data,
        engines,
        progress=progress,
        **own,
    )


__all__ = ["TASKS", "Task", "check_parity", "evaluate", "load", "open_data", "open_session"]
