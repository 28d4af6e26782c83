"""The C++ session feeds an engine what the Python session feeds it, and makes the same of what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import vpp_deploy
from tests.cpp.runtime import Runtime
from tests.cpp.test_tracker import assert_same_instances
from vpp_deploy.bundle import MANIFEST_FILE
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.engines.protocols import Array, Engine, EngineStream, StreamState
from vpp_deploy.frames import Frame
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import SessionState, VideoSession

FRAMES = 12


class EmphaticStream:
    """A stream that is surer of what it sees than random weights are, so that there are tracks, and too many."""

    def __init__(self, stream: EngineStream) -> None:
        self._stream = stream
        self.last: tuple[str, Mapping[str, Array], dict[str, Array]] | None = None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        phase = self._stream.snapshot().phase
        outputs = self._stream.run(inputs)
        logits = outputs["class_logits"]
        centred = 60 * (logits - logits.mean(axis=0)).astype(np.float32)
        outputs |= {"class_logits": centred, "mask_logits": 20 * outputs["mask_logits"]}
        outputs["candidates"] = outputs["candidates"] + np.int32(len(outputs["query_indices"]) - 3)
        self.last = phase, inputs, outputs
        return outputs

    def reset(self) -> None:
        self._stream.reset()

    def snapshot(self) -> StreamState:
        return self._stream.snapshot()

    def restore(self, state: StreamState) -> None:
        self._stream.restore(state)


class Recorder:
    """A Python session that writes down what it was asked, for the C++ session, and what came of it."""

    def __init__(self, engine: Engine, manifest: str) -> None:
        self._session = VideoSession(engine)
        self._session.stream = self._stream = EmphaticStream(engine.open_stream())
        self._size = engine.frame_size
        self.case: dict[str, Any] = {"manifest": manifest, "steps": []}
        self.expected: list[tuple[FrameResult | None, Mapping[str, Array], list[str]]] = []
        self._snapshots: dict[str, SessionState] = {}

    def frame(self, original: np.ndarray) -> FrameResult:
        image, content = letterbox(original, self._size)
        result = self._session(Frame(image, content, original, self._session.snapshot().last_index + 1))
        assert self._stream.last is not None
        phase, inputs, outputs = self._stream.last
        self._record({"step": "frame", "image": original, "phase": phase, "outputs": outputs}, result, inputs)
        return result

    def snapshot(self, name: str) -> None:
        self._snapshots[name] = self._session.snapshot()
        self._record({"step": "snapshot", "name": name}, calls=["snapshot"])

    def restore(self, name: str) -> None:
        self._session.restore(self._snapshots[name])
        self._record({"step": "restore", "name": name}, calls=["restore 1"])

    def reset(self) -> None:
        self._session.reset()
        self._record({"step": "reset"}, calls=["reset"])

    def _record(
        self,
        step: dict[str, Any],
        result: FrameResult | None = None,
        inputs: Mapping[str, Array] | None = None,
        calls: Sequence[str] = (),
    ) -> None:
        self.case["steps"].append(step)
        self.expected.append((result, inputs or {}, list(calls)))


def check(runtime: Runtime, recorder: Recorder) -> None:
    (outcomes,) = runtime.run("session", [recorder.case])
    assert isinstance(outcomes, list), outcomes
    for ours, (result, inputs, calls) in zip(outcomes, recorder.expected, strict=True):
        assert ours["calls"] == calls
        if result is not None:
            assert ours["prefetched"]
            same_inputs(ours["inputs"], inputs)
            same_result(ours["result"], result)


def same_inputs(ours: dict[str, Any], expected: Mapping[str, Array]) -> None:
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        assert ours[name].dtype == (np.uint8 if value.dtype == np.bool_ else value.dtype)
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def same_result(ours: dict[str, Any], expected: FrameResult) -> None:
    for name in ("index", "candidates_dropped", "tracks_not_fed"):
        assert ours[name] == getattr(expected, name)
    assert tuple(ours["original_size"]) == expected.original_size
    assert tuple(ours["grid"]) == expected.grid
    assert ours["parts"] == sorted(expected.seconds)
    assert list(ours["kept"]) == list(expected.kept)
    for name, positions in expected.kept.items():
        assert ours["kept"][name] == positions.tolist()
    scores = ours["instances"]["scores"]
    np.testing.assert_allclose(scores, expected.instances.scores, rtol=0, atol=1e-6)
    assert_same_instances(ours["instances"] | {"scores": expected.instances.scores}, expected.instances)


@pytest.fixture(scope="module")
def engine(micro_bundle: vpp_deploy.Bundle) -> Engine:
    return vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1)


@pytest.fixture
def recorder(engine: Engine, micro_bundle: vpp_deploy.Bundle) -> Recorder:
    return Recorder(engine, str(micro_bundle.path / MANIFEST_FILE))


def clip(seed: int, size: tuple[int, int]) -> Sequence[np.ndarray]:
    return list(render_clip("val", seed, 0, frames=FRAMES, size=size).frames)


@pytest.mark.parametrize("size", [(128, 192), (150, 200), (64, 260)])
def test_a_video_frame_by_frame(runtime: Runtime, recorder: Recorder, size: tuple[int, int]) -> None:
    results = [recorder.frame(picture) for picture in clip(0, size)]
    assert all(len(result.instances) for result in results)
    assert len({identity for result in results for identity in result.instances.identities.tolist()}) > 3
    assert any(result.candidates_dropped for result in results)
    check(runtime, recorder)


def test_reset_snapshot_and_restore(runtime: Runtime, recorder: Recorder) -> None:
    pictures = clip(1, (128, 192))
    recorder.snapshot("empty")
    for picture in pictures[:4]:
        recorder.frame(picture)
    recorder.snapshot("four")
    recorder.frame(pictures[4])
    recorder.reset()
    recorder.frame(pictures[5])
    recorder.restore("four")
    recorder.frame(pictures[4])
    recorder.restore("empty")
    recorder.frame(pictures[0])
    check(runtime, recorder)
