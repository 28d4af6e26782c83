"""Models whose pruning points choose one after the other: what follows from a tie is proven, what does not is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vpp_deploy
from tests.families.dynamicvit import test_model as dynamicvit
from tests.families.evit import test_model as evit
from tests.parity.terminal import on_a_terminal
from tests.tasks.classification.parity.classifiers import TiedReference, level
from tests.tasks.segmentation.parity.perturbed import Arrays, Change, PerturbedEngine
from vpp_deploy.bundle import Bundle, ClassificationManifest
from vpp_deploy.engines.protocols import Engine, HostStream
from vpp_deploy.exporters.classifier import ClassifierReference
from vpp_deploy.exporters.classifier_output import PatchSelection
from vpp_deploy.frames import Frame
from vpp_deploy.tasks.classification.options import USUAL_STYLE
from vpp_deploy.tasks.classification.overlay import draw_classification
from vpp_deploy.tasks.classification.parity.check import check_classification
from vpp_deploy.tasks.classification.parity.render import render_classification
from vpp_deploy.tasks.classification.parity.report import ClassificationParity
from vpp_deploy.tasks.overlay_style import OverlayStyle

pytestmark = pytest.mark.usefixtures("one_thread")

PATCHES = 24
FUSED = PATCHES
"""Position of the token that the first point fuses; the second point's is the next one."""
Decision = Callable[[torch.Tensor, int], None]
"""Changes the rows `[B, K]` that a point chose among n tokens."""


class OtherDecision:
    """PyTorch, had it decided otherwise at some points; later points choose for themselves among what is then left.

    Args:
        engine: the PyTorch reference.
        decisions: by number of the point.
        outputs: changes the outputs.
    """

    backend, precision = "onnxruntime", "float32"

    def __init__(
        self, engine: ClassifierReference, decisions: Mapping[int, Decision], outputs: Change = lambda arrays: None
    ) -> None:
        self._engine, self._decisions, self._outputs = engine, decisions, outputs
        self.manifest, self.frame_size = engine.manifest, engine.frame_size

    def open_stream(self) -> HostStream:
        return HostStream(self.manifest, self._run)

    def _run(self, phase: str, names: Any, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        numbers = count()

        def decide(_: torch.nn.Module, arguments: tuple[Any, ...], rows: torch.Tensor) -> torch.Tensor:
            rows = rows.clone()
            if change := self._decisions.get(next(numbers)):
                change(rows, arguments[0].flatten(1).shape[1])
            return rows

        (selection,) = [module for module in self._engine.graph.modules() if isinstance(module, PatchSelection)]
        hook = selection.register_forward_hook(decide)
        try:
            outputs = {name: array.copy() for name, array in self._engine.open_stream().run(feed).items()}
        finally:
            hook.remove()
        self._outputs(outputs)
        return [outputs[name] for name in names]


def keep_another(rows: torch.Tensor, tokens: int) -> None:
    """Of the first image: one that was not kept, in the place of the last."""
    rows[0, -1] = min(set(range(tokens)) - set(rows[0].tolist()))


def keep_the_fused_token(rows: torch.Tensor, tokens: int) -> None:
    """Which stands behind all others."""
    for row in rows:
        if tokens - 1 not in row:
            row[-1] = tokens - 1


def drop_the_fused_token(rows: torch.Tensor, tokens: int) -> None:
    for row in rows:
        if tokens - 1 in row:
            row[row == tokens - 1] = min(set(range(tokens)) - set(row.tolist()))


@pytest.fixture(scope="module")
def dynamicvit_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Points before blocks 1 and 3 of four; 12 and 6 of 24 patches stay."""
    model = dynamicvit.lively(dynamicvit.CONFIG)
    return vpp_deploy.export(model, out=tmp_path_factory.mktemp("dynamicvit") / "d.bundle", batch=2)


@pytest.fixture(scope="module")
def evit_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Points in blocks 0, 2 and 4 of five, with fusion: 12 of 24, 7 of 13, 4 of 8 tokens stay."""
    model = evit.lively(evit.CONFIG)
    return vpp_deploy.export(model, out=tmp_path_factory.mktemp("evit") / "e.bundle", batch=2)


@pytest.fixture(scope="module", params=["dynamicvit", "evit"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    found: Bundle = request.getfixturevalue(f"{request.param}_bundle")
    return found


References = Callable[[Bundle], ClassifierReference]


@pytest.fixture(scope="module")
def reference_of() -> References:
    made: dict[Path, Any] = {}

    def reference(bundle: Bundle) -> ClassifierReference:
        if bundle.path not in made:
            made[bundle.path] = vpp_deploy.open_reference(bundle)
        found: ClassifierReference = made[bundle.path]
        return found

    return reference


@pytest.fixture(scope="module")
def reference(bundle: Bundle, reference_of: References) -> ClassifierReference:
    return reference_of(bundle)


@pytest.fixture(scope="module")
def fusing(evit_bundle: Bundle, reference_of: References) -> ClassifierReference:
    return reference_of(evit_bundle)


def manifest_of(engine: Engine) -> ClassificationManifest:
    return ClassificationManifest.of(engine.manifest, "this test")


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    images = np.random.default_rng(7).integers(0, 256, (3, 64, 96, 3), np.uint8)
    return [Frame(image, (64, 96), image, index, name=f"{index}.png") for index, image in enumerate(images)]


@pytest.fixture(scope="module")
def points(bundle: Bundle) -> list[str]:
    return [point.name for point in ClassificationManifest.of(bundle.manifest, "this test").pruning_points]


def failure(report: ClassificationParity) -> str:
    assert not report.passed
    json.dumps(report.to_dict(), allow_nan=False)
    assert "Parity: failed" in on_a_terminal(render_classification(report), 100)
    return report.problems[0]


def mentions(report: ClassificationParity, words: str) -> bool:
    return any(words in problem for problem in report.problems)


def test_an_engine_that_computes_what_pytorch_computes_passes(
    bundle: Bundle, reference: ClassifierReference, frames: list[Frame], points: list[str]
) -> None:
    engine = vpp_deploy.build_engine(bundle, "onnxruntime")
    report = check_classification(bundle, engine, frames, reference=reference)
    assert report.problems == []
    assert all(share == {"mean": 1.0, "minimum": 1.0} for share in report.overlaps().values())
    assert list(report.patches()) == points
    assert report.summary()["reruns"] == 0
    assert all(tensor.maximum < 1e-4 for tensor in report.worst().values())
    whole = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert whole["per_sample"][0]["consequences"] == []


def test_a_tie_is_proven_by_a_rerun_with_all_that_follows_from_it(
    bundle: Bundle, reference: ClassifierReference, frames: list[Frame], points: list[str]
) -> None:
    tied = level(manifest_of(reference))
    truth = TiedReference(reference, tied)
    report = check_classification(bundle, OtherDecision(reference, {0: keep_another}, tied), frames, reference=truth)
    assert report.problems == []
    assert truth.reruns == 2  # of the batches with images 0 and 1, and with image 2
    changed, other = report.samples[0].difference, report.samples[1].difference
    assert (changed.rerun, other.rerun) == (True, False)
    assert changed.consequences == frozenset()
    assert [point.selection.count("tie") for point in changed.patches.values()] == [2] + [0] * (len(points) - 1)
    assert all(changed.patches[name].order == "same" for name in points[1:])
    assert changed.tensors["logits"].maximum < 1e-6
    assert report.notes[0].startswith(f"image 0 (0.png), {points[0]}: tie of patches ")


def test_a_tie_at_the_last_point_is_proven_too(
    bundle: Bundle, reference: ClassifierReference, frames: list[Frame], points: list[str]
) -> None:
    last = len(points) - 1
    tied = level(manifest_of(reference), last)
    engine = OtherDecision(reference, {last: keep_another}, tied)
    report = check_classification(bundle, engine, frames, reference=TiedReference(reference, tied))
    assert report.problems == []
    assert report.summary()["reruns"] == 2


def test_without_a_rerun_a_tie_is_a_problem(
    bundle: Bundle, reference: ClassifierReference, frames: list[Frame], points: list[str]
) -> None:
    tied = level(manifest_of(reference))
    truth = PerturbedEngine(reference, tied, first_frame=0)
    report = check_classification(bundle, OtherDecision(reference, {0: keep_another}, tied), frames, reference=truth)
    assert failure(report).startswith("image 0 (0.png): kept patches differ by ties, which a reference that cannot")
    assert not any(mentions(report, name) for name in points)  # what follows is not judged
    assert report.samples[0].difference.consequences == {f"significance_{name}" for name in points[1:]}


@pytest.mark.parametrize("point", [0, 1])
def test_a_wrong_choice_is_a_mismatch_where_it_was_made(
    bundle: Bundle, reference: ClassifierReference, frames: list[Frame], points: list[str], point: int
) -> None:
    """What follows at later points is the consequence of it, and not held against the engine a second time."""
    engine = OtherDecision(reference, {point: keep_another})
    truth = TiedReference(reference)
    report = check_classification(bundle, engine, frames, reference=truth)
    assert failure(report).startswith(f"image 0 (0.png), {points[point]}: kept patches differ beyond ties: patch")
    assert [problem[:8] for problem in report.problems if problem.startswith("image")] == ["image 0 ", "image 2 "]
    assert truth.reruns == 0
    found = report.samples[0].difference.patches
    assert found[points[point]].selection.count("mismatch") == 1  # the K-th best one, in whose place it is, ties
    assert all(found[name].order == "consequence" for name in points[point + 1 :])
    assert all(found[name].order == "same" for name in points[:point])


def test_a_tie_does_not_excuse_a_wrong_choice_behind_it(
    bundle: Bundle, reference: ClassifierReference, frames: list[Frame], points: list[str]
) -> None:
    tied = level(manifest_of(reference))
    engine = OtherDecision(reference, {0: keep_another, 1: keep_another}, tied)
    report = check_classification(bundle, engine, frames, reference=TiedReference(reference, tied))
    assert failure(report).startswith(f"image 0 (0.png), {points[1]}: kept patches differ beyond ties")
    assert not mentions(report, f"{points[0]}:")


def test_a_significance_that_the_rerun_does_not_reproduce_fails(
    bundle: Bundle, reference: ClassifierReference, frames: list[Frame], points: list[str]
) -> None:
    tied, name = level(manifest_of(reference)), f"significance_{points[1]}"

    def also_wrong(outputs: Arrays) -> None:
        tied(outputs)
        outputs[name] += 0.05 * outputs[name].max() * (outputs[name] > 0)

    engine = OtherDecision(reference, {0: keep_another}, also_wrong)
    report = check_classification(bundle, engine, frames, reference=TiedReference(reference, tied))
    assert failure(report).startswith(f"image 0 (0.png), {name}: max |difference|")


def test_an_engine_that_computes_with_other_patches_than_it_says_fails(
    bundle: Bundle, reference: ClassifierReference, frames: list[Frame], points: list[str]
) -> None:
    tied = level(manifest_of(reference))
    other = manifest_of(reference).pruning_points[0].kept_output
    assert other is not None

    def lie(outputs: Arrays) -> None:
        tied(outputs)
        kept, last = outputs[other], outputs[f"kept_{points[-1]}"]
        unused = next(position for position in kept[0] if position not in last[0] and position < PATCHES)
        kept[0, kept[0] == unused] = np.setdiff1d(np.arange(PATCHES), kept[0])[0]

    engine = PerturbedEngine(reference, lie, first_frame=0)
    report = check_classification(bundle, engine, frames, reference=TiedReference(reference, tied))
    assert not report.passed
    assert mentions(report, "even with the patches that the engine kept: no tie explains it")


def test_a_patch_that_comes_back_is_a_fault(
    bundle: Bundle, reference: ClassifierReference, frames: list[Frame], points: list[str]
) -> None:
    def resurrect(outputs: Arrays) -> None:
        gone = np.setdiff1d(np.arange(PATCHES, dtype=np.int32), outputs[f"kept_{points[0]}"][1])
        outputs[f"kept_{points[1]}"][1, -1] = gone[0]

    truth = TiedReference(reference)
    report = check_classification(bundle, PerturbedEngine(reference, resurrect, first_frame=0), frames, reference=truth)
    assert failure(report).startswith(f"image 1 (1.png), {points[1]}: patches that an earlier point had pruned: ")
    assert truth.reruns == 0


def test_values_that_cannot_be_positions_are_faults(
    evit_bundle: Bundle, fusing: ClassifierReference, frames: list[Frame]
) -> None:
    def too_new(outputs: Arrays) -> None:  # the second fused token does not exist yet at the second point
        outputs["kept_block_2"][0, 0] = FUSED + 1

    report = check_classification(
        evit_bundle, PerturbedEngine(fusing, too_new, first_frame=0), frames, reference=fusing
    )
    assert "image 0 (0.png), block_2: a value outside 0..24: " in failure(report)


def test_a_fused_token_that_comes_back_is_a_fault(
    evit_bundle: Bundle, fusing: ClassifierReference, frames: list[Frame]
) -> None:
    def resurrect(outputs: Arrays) -> None:
        outputs["kept_block_4"][0, outputs["kept_block_4"][0] != FUSED + 1][:1] = FUSED
        outputs["kept_block_4"][0, 0] = FUSED

    dropped = OtherDecision(fusing, {1: drop_the_fused_token}, resurrect)
    truth = OtherDecision(fusing, {1: drop_the_fused_token})
    report = check_classification(evit_bundle, dropped, frames, reference=truth)
    assert failure(report) == f"image 0 (0.png), block_4: patches that an earlier point had pruned: {FUSED}"


@pytest.mark.parametrize("decision", [keep_the_fused_token, drop_the_fused_token])
def test_fused_tokens_are_compared_like_patches(
    decision: Decision, evit_bundle: Bundle, fusing: ClassifierReference, frames: list[Frame]
) -> None:
    """Two sides that keep, or drop, the token that the first point fused agree, and others do not."""
    decided = OtherDecision(fusing, {1: decision})
    outputs = decided.open_stream().run({"images": np.stack([frame.image for frame in frames[:2]])})
    is_kept = decision is keep_the_fused_token
    assert all((FUSED in row) == is_kept for row in outputs["kept_block_2"])
    assert check_classification(evit_bundle, decided, frames, reference=OtherDecision(fusing, {1: decision})).passed
    other = drop_the_fused_token if is_kept else keep_the_fused_token
    report = check_classification(evit_bundle, decided, frames, reference=OtherDecision(fusing, {1: other}))
    assert "block_2: kept patches differ beyond ties: " in failure(report)
    differing = report.samples[0].difference.patches["block_2"].selection.differing
    assert FUSED in [token.position for token in differing]


@pytest.mark.parametrize("decision", [keep_the_fused_token, drop_the_fused_token])
def test_a_session_shows_patches_alone(decision: Decision, fusing: ClassifierReference, frames: list[Frame]) -> None:
    engine = OtherDecision(fusing, {1: decision, 2: keep_the_fused_token})
    session = vpp_deploy.ClassificationSession(engine)
    is_kept = decision is keep_the_fused_token
    for sample, result in session.run(frames):
        assert [len(result.kept[name]) for name in ("block_0", "block_2", "block_4")] == [
            12,
            7 - is_kept,
            4 - 1 - (is_kept and FUSED in result.kept["block_4"]),
        ] or is_kept  # at the last point the first fused token may be gone
        assert all(kept.max() < PATCHES for kept in result.kept.values())
        assert all(significance.shape == (4, 6) for significance in result.significance.values())
        present = result.significance["block_2"] > 0
        assert sorted(np.flatnonzero(present)) == sorted(result.kept["block_0"].tolist())
        drawn = draw_classification(sample[0], result, session.manifest, OverlayStyle(USUAL_STYLE.parts, header=False))
        assert drawn.shape == sample[0].image.shape
        assert not np.array_equal(drawn, sample[0].image)
