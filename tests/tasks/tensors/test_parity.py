"""The check of plain tensors: it passes, and names the tensor, the frame and the way in which something is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vpp_deploy
from tests.bundle.factory import make_bundle
from tests.parity.failing import failure_of
from tests.parity.terminal import on_a_terminal
from tests.tasks.segmentation.parity.perturbed import Arrays, Change, PerturbedEngine
from tests.tasks.tensors.models import numbers, pictures, stacked
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.parity.report_common import store
from vpp_deploy.tasks.tensors.parity.check import check_tensors
from vpp_deploy.tasks.tensors.parity.render import render_tensors
from vpp_deploy.tasks.tensors.parity.report import TensorParity

pytestmark = pytest.mark.usefixtures("one_thread")
FRAMES = 5


@pytest.fixture(scope="module")
def frames() -> list[Arrays]:
    return pictures(FRAMES)


@pytest.fixture(scope="module")
def truth(memory: Bundle) -> Engine:
    return vpp_deploy.open_reference(memory)


@pytest.fixture(scope="module")
def report(memory: Bundle, engine: Engine, frames: list[Arrays], truth: Engine) -> TensorParity:
    return check_tensors(memory, engine, frames, reference=truth)


@dataclass(frozen=True)
class Sized:
    """An engine of tensors that says that it takes frames."""

    engine: Engine
    frame_size = (0, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


def perturbed(engine: Engine, *changes: Change, **settings: Any) -> PerturbedEngine:
    return PerturbedEngine(Sized(engine), *changes, **settings)  # type: ignore[arg-type]


def shown(report: TensorParity) -> str:
    return on_a_terminal(render_tensors(report), 120)


def failure(report: TensorParity) -> str:
    return failure_of(report, shown(report))


def test_an_engine_that_computes_what_pytorch_computes_passes(report: TensorParity) -> None:
    assert report.problems == []
    report.raise_for_failure()
    for mode in ("teacher_forced", "free_running"):
        worst = report.worst(mode)
        assert set(worst) == {"logits", "memory"}
        assert all(tensor.maximum < 1e-5 and tensor.cosine > 0.99999 for tensor in worst.values())
        assert report.unequal(mode) == {"kept": 0, "age": 0}
    assert [frame.role for frame in report.frames] == ["init", *["step"] * (FRAMES - 1)]
    assert report.notes == [f"the source has {FRAMES} of the 30 frames asked for"]


def test_the_report_is_json_and_the_bundle_keeps_its_summary(
    report: TensorParity, memory: Bundle, tmp_path: Path
) -> None:
    whole = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert [frame["index"] for frame in whole["per_frame"]] == list(range(FRAMES))
    summary = json.loads(store(Bundle(tmp_path, memory.manifest), report).read_text())
    assert summary == {key: whole[key] for key in summary}
    assert (summary["passed"], summary["backend"], summary["frames"]) == (True, "onnxruntime", FRAMES)
    assert set(summary["tensors"]) == {"teacher_forced", "free_running"}
    assert {"vpp-deploy", "torch", "onnxruntime"} <= set(summary["versions"])


def test_the_table_shows_both_ways(report: TensorParity) -> None:
    text = shown(report)
    for words in ("onnxruntime (float32) against PyTorch: 5 frames", "logits", "memory", "kept", "age", "passed"):
        assert words in text


def test_an_error_of_one_frame_is_told_from_one_that_was_carried_over(
    memory: Bundle, engine: Engine, frames: list[Arrays], truth: Engine
) -> None:
    """An engine that computes a wrong state, and one that errs only in what it has carried on itself."""

    def shift(state: Arrays) -> None:
        state["memory"] = state["memory"] + 0.1

    wrong = perturbed(engine, state=shift, first_frame=2)
    report = check_tensors(memory, wrong, frames, reference=truth)
    assert failure(report).startswith("frame 2, memory: max |difference| 0.1 > ")
    drifting = perturbed(engine, state=shift, first_frame=2, forced=False)
    report = check_tensors(memory, drifting, frames, reference=truth)
    assert report.problems == []
    assert "free-running, the engine drifts beyond the tolerance from frame 2 on" in report.notes
    assert report.worst("free_running")["memory"].maximum > 0.05 > report.worst("teacher_forced")["memory"].maximum


def test_a_wrong_output_is_named(memory: Bundle, engine: Engine, frames: list[Arrays], truth: Engine) -> None:
    def add(outputs: Arrays) -> None:
        outputs["logits"] = outputs["logits"] + 0.5

    report = check_tensors(memory, perturbed(engine, add, first_frame=3), frames, reference=truth)
    assert failure(report).startswith("frame 3, logits: max |difference| 0.5 > ")
    assert [problem.partition(",")[0] for problem in report.problems] == ["frame 3", "frame 4"]
    assert report.worst("teacher_forced")["logits"].frame in (3, 4)


def test_integers_must_be_equal(memory: Bundle, engine: Engine, frames: list[Arrays], truth: Engine) -> None:
    def turn(outputs: Arrays) -> None:
        outputs["kept"] = outputs["kept"][:, ::-1].copy()

    report = check_tensors(memory, perturbed(engine, turn, first_frame=0), frames, reference=truth)
    assert failure(report) == "frame 0, kept: 6 values differ, and they are not floats"
    assert report.unequal("teacher_forced")["kept"] == 6 * FRAMES


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(
    value: float, memory: Bundle, engine: Engine, frames: list[Arrays], truth: Engine
) -> None:
    def spoil(outputs: Arrays) -> None:
        outputs["logits"] = outputs["logits"].copy()
        outputs["logits"][0, 1] = value

    wrong = perturbed(engine, spoil, first_frame=1)
    assert failure(check_tensors(memory, wrong, frames, reference=truth)) == "frame 1, logits: 1 NaN or infinite values"
    turned = check_tensors(memory, engine, frames, reference=perturbed(truth, spoil, first_frame=1))
    assert failure(turned) == "frame 1, logits: 1 NaN or infinite values in the PyTorch reference"


def test_tolerances_go_by_the_size_of_the_tensor(
    memory: Bundle, engine: Engine, frames: list[Arrays], truth: Engine
) -> None:
    """Of small tensors the difference counts as it is, of large ones relative to their largest value."""

    def scaled(scale: float, error: float) -> Any:
        def change(outputs: Arrays) -> None:
            unit = outputs["logits"] / np.abs(outputs["logits"]).max() * scale
            outputs["logits"] = unit + np.float32(error)

        return change

    for scale, unit in ((1e-3, 1.0), (1e4, 1e4)):
        reference = perturbed(truth, scaled(scale, 0), first_frame=0)
        for error, passes in ((5e-4 * unit, True), (2e-3 * unit, False)):
            wrong = perturbed(engine, scaled(scale, error), first_frame=0)
            assert check_tensors(memory, wrong, frames, reference=reference).passed == passes


def test_a_model_without_state_has_one_way(sums: Bundle) -> None:
    engine, truth = vpp_deploy.load_engine(sums), vpp_deploy.open_reference(sums)
    done: list[tuple[int, int | None]] = []
    report = check_tensors(
        sums, engine, numbers(3), frames=3, reference=truth, progress=lambda *counts: done.append(counts)
    )
    assert (report.problems, report.notes, done) == ([], [], [(1, 3), (2, 3), (3, 3)])
    assert report.worst("free_running") == {}
    assert {frame.role for frame in report.frames} == {"model"}
    assert "passed" in shown(report)
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_file_is_read_as_far_as_it_is_compared(
    memory: Bundle, engine: Engine, frames: list[Arrays], truth: Engine, tmp_path: Path
) -> None:
    np.savez(tmp_path / "in.npz", **stacked(frames))  # type: ignore[arg-type]
    report = vpp_deploy.check_parity(memory, engine, tmp_path / "in.npz", frames=2, reference=truth)
    assert (len(report.frames), report.source, report.notes) == (2, "in.npz", [])


def test_impossible_calls_are_refused(
    memory: Bundle, sums: Bundle, engine: Engine, frames: list[Arrays], truth: Engine, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="there is no frame to compare"):
        check_tensors(memory, engine, [], reference=truth)
    with pytest.raises(UsageError, match="frames is 0"):
        check_tensors(memory, engine, frames, frames=0, reference=truth)
    with pytest.raises(UsageError, match="was not made from bundle"):
        check_tensors(sums, engine, frames, reference=truth)
    with pytest.raises(UsageError, match="unknown inputs steps, values; the model takes frame"):
        check_tensors(memory, engine, numbers(2), reference=truth)
    with pytest.raises(UsageError, match="this parity check needs a bundle for tensors"):
        check_tensors(make_bundle(tmp_path / "video.bundle"), engine, frames, reference=truth)


@pytest.mark.parametrize("good", [0, 2])
def test_an_error_leaves_a_report_on_what_was_compared(
    memory: Bundle, engine: Engine, frames: list[Arrays], truth: Engine, good: int
) -> None:
    def until_it_breaks() -> Iterator[Arrays]:
        yield from frames[:good]
        raise KeyboardInterrupt

    told: list[tuple[int, type[BaseException]]] = []
    with pytest.raises(KeyboardInterrupt):
        check_tensors(
            memory,
            engine,
            until_it_breaks(),
            reference=truth,
            interrupted=lambda report, error: told.append((len(report.frames), type(error))),
        )
    assert told == ([(good, KeyboardInterrupt)] if good else [])
