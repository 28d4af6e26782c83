"""Ties in decisions inside the network are found by reproducing them, and nothing else is excused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import vpp_deploy
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.engines.protocols import StreamState
from vpp_deploy.families.vpp.reference import TorchEngine
from vpp_deploy.tasks.segmentation.parity.decisions import COMPARED, Explainer
from vpp_deploy.tasks.segmentation.session import VideoSession

Inputs = Mapping[str, np.ndarray]
MATCH_MARGIN, MASK_MARGIN = 0.01, 0.05
"""Wide enough that a few small frames hold decisions to turn."""


@pytest.fixture(scope="module")
def reference(micro_bundle: vpp_deploy.Bundle) -> TorchEngine:
    return TorchEngine(micro_bundle)


@pytest.fixture(scope="module")
def second_frame(reference: TorchEngine) -> tuple[Inputs, StreamState]:
    """Inputs and state of a frame that uses the past."""
    session = VideoSession(reference)
    first, second = render_clip("val", 3, 0, frames=2, size=reference.frame_size).frames
    session(first)
    return session.prepare(session.as_frame(second)), session.stream.snapshot()


@pytest.fixture(scope="module")
def explainer(reference: TorchEngine, second_frame: tuple[Inputs, StreamState]) -> Explainer:
    return Explainer(reference, *second_frame, MATCH_MARGIN, MASK_MARGIN)


def run(explainer: Explainer, matches=(), masks=()):
    return explainer._rerun(matches, masks)


def every_row(outputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(outputs["query_indices"]))
    return rows, rows


def test_a_rerun_with_nothing_turned_is_the_frame(
    reference: TorchEngine, explainer: Explainer, second_frame: tuple[Inputs, StreamState]
) -> None:
    stream = reference.open_stream()
    stream.restore(second_frame[1])
    outputs = stream.run(second_frame[0])
    again = run(explainer)
    assert all(np.array_equal(outputs[name], again.outputs[name]) for name in outputs)
    assert all(np.array_equal(array, again.state[name]) for name, array in stream.snapshot().tensors.items())
    assert all(abs(logit) <= MASK_MARGIN for *_, logit in again.close_masks)
    assert all(gap >= 0 for *_, gap in again.close_matches)


def test_a_turned_mask_decision_is_found(explainer: Explainer) -> None:
    truth = run(explainer)
    shown = set(truth.outputs["query_indices"].tolist())
    for layer, query, place, _ in sorted(truth.close_masks, key=lambda item: abs(item[3])):
        if query not in shown:
            continue
        engine = explainer.reference.rerun(
            explainer.inputs, explainer.before, matches={}, masks=[(layer, query, place)], match_margin=0, mask_margin=0
        )
        rows = every_row(truth.outputs)
        if all(np.allclose(engine.outputs[name], truth.outputs[name], atol=1e-6) for name in COMPARED):
            continue  # a place that the query hardly looks at
        found = explainer.by_mask_ties(truth.outputs, engine.outputs, rows, tolerance=1e-6)
        assert found is not None
        ties, explained = found
        assert (layer, query, place) in [(tie.layer, tie.query, tie.place) for tie in ties]
        assert all(np.allclose(explained.outputs[name], engine.outputs[name], atol=1e-6) for name in COMPARED)
        return
    pytest.fail("no decision to turn: choose another frame or margin")


def test_an_error_is_not_explained_by_mask_ties(explainer: Explainer) -> None:
    truth = run(explainer).outputs
    wrong = {**truth, "mask_logits": truth["mask_logits"] + np.float32(0.01)}
    assert explainer.by_mask_ties(truth, wrong, every_row(truth), tolerance=1e-3) is None


def test_a_turned_match_is_found(explainer: Explainer) -> None:
    truth = run(explainer)
    kept = [name for name in truth.outputs if name.startswith("kept_")]
    for token, row, _ in sorted(truth.close_matches, key=lambda item: item[2])[:10]:
        engine = explainer.reference.rerun(
            explainer.inputs, explainer.before, matches={token: row}, masks=[], match_margin=0, mask_margin=0
        )
        if all(np.array_equal(engine.outputs[name], truth.outputs[name]) for name in kept):
            continue
        found = explainer.by_match_ties(engine.outputs)
        assert found is not None
        ties, explained = found
        assert [(tie.token, tie.row) for tie in ties] == [(token, row)]
        assert all(np.array_equal(explained.outputs[name], engine.outputs[name]) for name in engine.outputs)
        return
    pytest.fail("no match to turn: choose another frame or margin")


def test_a_swapped_token_is_not_explained_by_matches(explainer: Explainer) -> None:
    truth = run(explainer).outputs
    kept = truth["kept_selection_9"].copy()
    absent = np.setdiff1d(np.arange(kept.max()), kept)
    kept[0] = absent[0]
    assert explainer.by_match_ties({**truth, "kept_selection_9": np.sort(kept)}) is None
