"""Sessions are for one thread at a time: a second one gets an error and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import numpy as np
import pytest

import vpp_deploy as vd
from vpp_deploy.errors import StreamError
from vpp_deploy.frames import Frame
from vpp_deploy.tasks.classification.session import ClassificationSession
from vpp_deploy.tasks.segmentation.session import VideoSession

PATIENCE = 60.0
"""Seconds that a thread waits for another one, if something is wrong."""


class Slow:
    """A picture that is still being made when it is asked for."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.asked, self.made = pixels, Event(), Event()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self.asked.set()
        assert self.made.wait(PATIENCE)
        return self.pixels


class SlowBatch(list[Any], Slow):
    """A batch whose length is not known at once."""

    def __init__(self, samples: list[Any]) -> None:
        list.__init__(self, samples)
        Slow.__init__(self, np.empty(0))

    def __len__(self) -> int:
        np.asarray(Slow.__array__(self))
        return super().__len__()


def check(slow: Slow, work: Callable[[Any], Any], others: Iterable[Callable[[], Any]]) -> Any:
    """The result of `work` on something slow, while this thread's calls of the same session are refused."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, slow)
        assert slow.asked.wait(PATIENCE)
        try:
            for other in others:
                with pytest.raises(StreamError, match="session of its own"):
                    other()
        finally:
            slow.made.set()
        return future.result(PATIENCE)


@pytest.fixture(scope="module")
def video(micro_bundle: vd.Bundle) -> Any:
    return vd.load(micro_bundle, threads=1)


@pytest.fixture(scope="module")
def frames(video: Any) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (3, *video.frame_size, 3), np.uint8)


@pytest.mark.parametrize("kind", ["pictures", "frames"])
def test_a_video_is_for_one_thread_at_a_time(video: Any, frames: np.ndarray, kind: str) -> None:
    def opened() -> Any:
        return video.session() if kind == "pictures" else VideoSession(video.engine)

    session, alone = opened(), opened()
    state = session.snapshot()
    expected = [alone(frame) for frame in frames]
    before = session(frames[0])
    others = [lambda: session(frames[2]), session.reset, session.cut, session.snapshot, lambda: session.restore(state)]
    results = [before, check(Slow(frames[1]), session, others), session(frames[2])]
    assert [result.index for result in results] == [0, 1, 2]
    for result, right in zip(results, expected, strict=True):
        assert np.array_equal(result.instances.boxes, right.instances.boxes)
        assert np.array_equal(result.instances.identities, right.instances.identities)


def test_a_stream_of_an_engine_is_for_one_thread_at_a_time(video: Any, frames: np.ndarray) -> None:
    session, stream = VideoSession(video.engine), video.engine.open_stream()
    inputs = session.prepare(session.as_frame(frames[0]))

    class Inputs(dict[str, Any], Slow):
        def __init__(self) -> None:
            dict.__init__(self, inputs)
            Slow.__init__(self, frames[0])

        def __getitem__(self, name: str) -> Any:
            np.asarray(Slow.__array__(self))
            return super().__getitem__(name)

    others = [lambda: stream.run(inputs), stream.reset, stream.snapshot, lambda: stream.restore(stream.snapshot())]
    check(Inputs(), stream.run, others)
    assert stream.snapshot().phase == "step"


def test_a_classification_session_is_for_one_thread_and_a_model_for_many(papr_bundle: vd.Bundle) -> None:
    model: Any = vd.load(papr_bundle, threads=1)
    pictures = np.random.default_rng(0).integers(0, 255, (8, 64, 96, 3), np.uint8)
    samples = [(Frame(picture, (64, 96), picture, number),) for number, picture in enumerate(pictures[:2])]
    session = ClassificationSession(model.engine)
    result = check(SlowBatch(samples), session, [lambda: session(samples)])
    for one, again in zip(result, session(samples), strict=True):
        assert np.array_equal(one.scores, again.scores)
    expected = [model(picture).best for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert [one.best for one in pool.map(model, pictures)] == expected
