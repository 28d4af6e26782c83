"""Sessions of plain tensors: what goes in is checked, and the state goes from call to call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vpp_deploy
from tests.bundle.factory import make_bundle
from tests.tasks.tensors.models import PATCHES, Arrays, Memory, numbers, pictures
from tests.tasks.test_threads import Slow, check
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.protocols import Engine, StreamState
from vpp_deploy.errors import EngineOutputError, UsageError
from vpp_deploy.tasks.tensors.session import TensorSession


@pytest.fixture
def session(engine: Engine) -> TensorSession:
    return TensorSession(engine)


def run(session: TensorSession, frames: list[Arrays]) -> list[Arrays]:
    return [session(frame) for frame in frames]


def same(ours: list[Arrays], theirs: list[Arrays]) -> bool:
    return all(
        np.array_equal(one[name], other[name]) for one, other in zip(ours, theirs, strict=True) for name in other
    )


def test_the_session_of_the_task_is_opened_by_the_engine(engine: Engine) -> None:
    with vpp_deploy.open_session(engine) as session:
        assert isinstance(session, TensorSession)
        assert session(pictures(1)[0])["logits"].shape == (1, 3)
        assert session.snapshot().phase == "step"
    assert session.snapshot().phase == "init"


def test_outputs_are_those_of_the_module_with_its_state(session: TensorSession) -> None:
    import torch

    module, state = Memory(), ()
    for number, frame in enumerate(pictures(4)):
        outputs = session(frame)
        with torch.no_grad():
            logits, kept, *state = module(torch.from_numpy(frame["frame"]), *state)
        assert list(outputs) == ["logits", "kept"]
        np.testing.assert_allclose(outputs["logits"], logits.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(outputs["kept"], kept.numpy())
        assert outputs["kept"].max() < PATCHES
        tensors = session.snapshot().tensors
        np.testing.assert_allclose(tensors["memory"], state[0].numpy(), rtol=0, atol=1e-5)
        assert tensors["age"].tolist() == [number]


def test_a_reset_forgets_the_past(session: TensorSession) -> None:
    frames = pictures(3)
    first = run(session, frames)
    assert not same(run(session, frames), first)
    session.reset()
    assert same(run(session, frames), first)


def test_a_snapshot_is_continued_by_any_session_of_any_engine(memory: Bundle, engine: Engine) -> None:
    ours, frames = TensorSession(engine), pictures(5)
    run(ours, frames[:2])
    state = ours.snapshot()
    age = state.tensors["age"].copy()
    expected = run(ours, frames[2:])
    np.testing.assert_array_equal(state.tensors["age"], age)  # later frames do not change it
    ours.restore(state)
    assert same(run(ours, frames[2:]), expected)
    another = TensorSession(engine)
    another.restore(state)
    assert same(run(another, frames[2:]), expected)
    torch_session = TensorSession(vpp_deploy.open_reference(memory))
    torch_session.restore(state)
    for given, wanted in zip(run(torch_session, frames[2:]), expected, strict=True):
        np.testing.assert_allclose(given["logits"], wanted["logits"], rtol=0, atol=1e-5)


def test_two_streams_do_not_know_of_each_other(engine: Engine) -> None:
    ours, theirs, frames = TensorSession(engine), TensorSession(engine), pictures(3)
    expected = run(ours, frames)
    ours.reset()
    for frame, wanted in zip(frames, expected, strict=True):
        assert same([ours(frame)], [wanted])
        theirs(pictures(1, seed=9)[0])


def test_a_model_without_state_remembers_nothing(sums: Bundle) -> None:
    session, (one, other) = TensorSession(vpp_deploy.load_engine(sums)), numbers(2)
    first = session(one)
    session(other)
    assert same([session(one)], [first])
    assert (session.snapshot().phase, dict(session.snapshot().tensors)) == ("model", {})
    np.testing.assert_allclose(first["sum"], one["values"].sum(1), rtol=1e-5)
    np.testing.assert_array_equal(first["best"], one["values"].argmax(1) + one["steps"])


VALUES, STEPS = np.zeros((2, 5), np.float32), np.zeros(2, np.int32)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"values": VALUES}, "input steps is missing; the model takes values, steps"),
        ({}, "input values is missing"),
        ({"values": VALUES, "steps": STEPS, "b": 1, "a": 2}, "unknown inputs a, b; the model takes values, steps"),
        ({"values": VALUES.astype(float), "steps": STEPS}, r"values is float64 \[2, 5\], the model takes float32 \[2,"),
        ({"values": VALUES[:1], "steps": STEPS}, r"values is float32 \[1, 5\], the model takes float32 \[2, 5\]"),
        ({"values": VALUES, "steps": 3}, r"steps is int64 \[\], the model takes int32 \[2\]"),
        ({"values": VALUES, "steps": [1, 2]}, r"steps is int64 \[2\]"),
        ({"values": VALUES, "steps": None}, "steps is object"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs: dict[str, Any], message: str, sums: Bundle) -> None:
    session = TensorSession(vpp_deploy.load_engine(sums))
    with pytest.raises(UsageError, match=message):
        session(inputs)


def test_inputs_may_be_views_of_others(sums: Bundle) -> None:
    session, (frame,) = TensorSession(vpp_deploy.load_engine(sums)), numbers(1)
    turned = np.asfortranarray(frame["values"])
    assert not turned.flags.c_contiguous
    assert same([session({**frame, "values": turned})], [session(frame)])


def test_a_bad_input_leaves_the_state_as_it_was(session: TensorSession) -> None:
    frames = pictures(2)
    session(frames[0])
    before = session.snapshot()
    with pytest.raises(UsageError, match="missing"):
        session({})
    assert session.snapshot().phase == before.phase
    np.testing.assert_array_equal(session.snapshot().tensors["memory"], before.tensors["memory"])


def test_a_bundle_for_another_task_is_refused(tmp_path: Path) -> None:
    engine = vpp_deploy.build_engine(make_bundle(tmp_path / "video.bundle"))
    with pytest.raises(UsageError, match=r"a tensor session needs a bundle for tensors; tiny .* is for segmentation"):
        TensorSession(engine)
    with pytest.raises(TypeError, match="top"):
        vpp_deploy.open_session(engine, top=3)


def test_a_session_is_for_one_thread_at_a_time(session: TensorSession) -> None:
    inputs = pictures(1)[0]
    others = [lambda: session(inputs), session.reset, session.snapshot, lambda: session.restore(StreamState())]
    check(Slow(inputs["frame"]), lambda slow: session({**inputs, "frame": slow}), others)
    assert session.snapshot().phase == "step"


def test_a_call_that_fails_leaves_the_state_as_it_was(session: TensorSession) -> None:
    frames = pictures(3)
    run(session, frames[:2])
    state = session.snapshot()
    tensors = {**state.tensors, "memory": np.full_like(state.tensors["memory"], np.nan)}
    session.stream.restore(StreamState(state.phase, tensors))
    with pytest.raises(EngineOutputError, match="NaN"):
        session(frames[2])
    assert np.array_equal(session.snapshot().tensors["age"], state.tensors["age"])
