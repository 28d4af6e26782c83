"""What a task is: the record that everything above asks. A task knows nothing of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rich.console import RenderableType

from vpp_deploy.options import NoOptions

if TYPE_CHECKING:
    from vpp_deploy.bundle.manifest import Manifest
    from vpp_deploy.bundle.reader import Bundle
    from vpp_deploy.engines.protocols import Engine
    from vpp_deploy.parity.report_common import Report
    from vpp_deploy.tasks.inspect_page import Page
    from vpp_deploy.tasks.workload import Workload


@dataclass(frozen=True)
class RunRequest:
    """What `vpp-deploy infer` is asked for, whatever the task.

    Attributes:
        source: what to run on, see `vpp_deploy.media.InputFile`; as one, with how to read it.
        output: what to draw or write the results into; None for nothing.
        json: file of JSON lines; None for none.
        max_frames: stop after this many frames; None for all.
        show: show the overlay in a window, too.
    """

    source: str | PathLike[str]
    output: Path | None = None
    json: Path | None = None
    max_frames: int | None = None
    show: bool = False


@dataclass(frozen=True)
class Description:
    """What an export made, in words.

    Attributes:
        line: model, size and classes, one line.
        facts: what it computes, as names and values; may be empty.
    """

    line: str
    facts: Sequence[tuple[str, str]] = ()


@runtime_checkable
class OpenData(Protocol):
    """A data set whose files are known and not decoded yet."""

    def paths(self) -> Iterator[Path]:
        """The files of the data set."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """What comes out of a model, and what a user does with it.

    The record is cheap to import: functions are imported when they are called (`vpp_deploy.registry.lazy`).

    Attributes:
        name: as in manifests, e.g. `segmentation`.
        title: in messages: "… models".
        results: what a model gives, in words, which means nothing when its weights are random.
        run_options: a dataclass of what `infer` and `open_session` can be asked for, see `vpp_deploy.options`.
        unused: names of `run_options` that mean nothing to a model, and why, as the end of a sentence.
        open_session: `(engine, **options) -> session`.
        open_model: `(engine, **options) -> model`, what `vpp_deploy.load` gives; None: the session serves.
        run: what `vpp-deploy infer` does: `(engine, RunRequest, options)`; it prints how it went.
        suffixes: of what is made of a video and of a picture, where `infer` has several inputs.
        together: whether pictures have nothing to do with each other, so that `infer` makes one run of several.
        next_run: words of an `infer` command after the bundle, for a hint.
        source: what `infer` and `parity` run on, as a word for a command line, e.g. `VIDEO`.
        sample: what `parity` compares one by one, e.g. `frame`.
        check_parity: `(bundle, engine, source, *, frames, reference, progress, interrupted) -> Report`.
        render: a parity report for the terminal.
        workload: what `vpp-deploy benchmark` times: `(engine, source or None) -> Workload`.
        prepare_accuracy: opens a data set, `(folder, videos)`, and gives a function that adds the accuracy on it to a
            report: `(bundle, engine, report) -> Report`. None where there is no such comparison.
        open_data: opens what `evaluate` takes: `(bundles, data, annotations, *, limit, keep_going) -> OpenData`. None
            where there is no measure.
        evaluate: what `vpp_deploy.evaluate` does: `(bundles, data, engines, *, progress) -> report`, data as
            `open_data` made it. None where there is no measure.
        keeps_predictions: it takes `mode`, `work` and `keep_work`, too.
        evaluated: what it counts, for a progress bar.
        render_evaluation: its report for the terminal.
        describe: what an export made.
        page: what `vpp-deploy inspect` shows.
    """

    name: str
    title: str
    results: Callable[[Manifest], str]
    run_options: type = NoOptions
    unused: Callable[[Manifest], Mapping[str, str]] = lambda manifest: {}
    open_session: Callable[..., Any]
    open_model: Callable[..., Any] | None = None
    run: Callable[[Engine, RunRequest, Any], None]
    suffixes: tuple[str, str] = (".mp4", ".png")
    together: Callable[[Manifest], bool] = lambda manifest: False
    next_run: Callable[[Manifest], Sequence[str]]
    source: Callable[[Manifest], str]
    sample: Callable[[Manifest], str] = lambda manifest: "frame"
    check_parity: Callable[..., Report]
    render: Callable[[Any], RenderableType]
    workload: Callable[[Engine, str | PathLike[str] | None], Workload]
    prepare_accuracy: Callable[[Path, int], Callable[[Bundle, Engine, Any], Report]] | None = None
    open_data: Callable[..., OpenData] | None = None
    evaluate: Callable[..., Any] | None = None
    keeps_predictions: bool = False
    evaluated: str = "video"
    render_evaluation: Callable[[Any], RenderableType] | None = None
    describe: Callable[[Bundle], Description]
    page: Callable[[Bundle], Page]
