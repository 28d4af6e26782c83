"""A session: order, reset, snapshot and restore, independent streams, capacities."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vpp_deploy
from vpp_deploy.bundle.manifest import TensorSpec
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import UsageError
from vpp_deploy.families.vpp.config import DetectorConfig, model_config
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session import VideoSession


@pytest.fixture(scope="module")
def engine(micro_bundle: vpp_deploy.Bundle) -> Engine:
    return vpp_deploy.load_engine(micro_bundle, "onnxruntime", threads=1)


@pytest.fixture(scope="module")
def clip(engine: Engine) -> list[np.ndarray]:
    return list(render_clip("val", 1, 0, frames=6, size=engine.frame_size).frames)


def same(a: FrameResult, b: FrameResult) -> bool:
    mine, other = a.instances, b.instances
    arrays = [(getattr(mine, n), getattr(other, n)) for n in ("masks", "boxes", "scores", "labels", "identities")]
    arrays += [(a.kept[name], b.kept[name]) for name in a.kept]
    return a.kept.keys() == b.kept.keys() and all(np.array_equal(x, y) for x, y in arrays)


def test_a_frame_result_is_complete(engine: Engine, clip: list[np.ndarray]) -> None:
    with VideoSession(engine) as session:
        first, second = session(clip[0]), session(clip[1])
    assert (first.index, second.index) == (0, 1)
    assert list(first.kept) == ["selection_3", "selection_6", "selection_9"]
    assert list(second.kept) == ["map_selection", "selection_3", "selection_6", "selection_9"]
    assert second.keep_ratios["selection_9"] == pytest.approx(0.358, abs=0.02)
    assert second.original_size == engine.frame_size
    assert second.instances.masks.shape[1:] == engine.frame_size
    assert set(second.seconds) == {"engine", "host"}


def test_the_past_matters_and_reset_forgets_it(engine: Engine, clip: list[np.ndarray]) -> None:
    session = VideoSession(engine)
    first = [session(frame) for frame in clip[:3]]
    session.reset()
    assert all(same(session(frame), result) for frame, result in zip(clip[:3], first, strict=True))
    session.reset()
    assert not same(session(clip[2]), first[2])


def test_restore_continues_exactly(engine: Engine, clip: list[np.ndarray]) -> None:
    session = VideoSession(engine)
    for frame in clip[:2]:
        session(frame)
    saved = session.snapshot()
    expected = [session(frame) for frame in clip[2:]]
    session.restore(saved)
    assert all(same(session(frame), result) for frame, result in zip(clip[2:], expected, strict=True))
    other = VideoSession(engine)
    other.restore(saved)
    assert all(same(other(frame), result) for frame, result in zip(clip[2:], expected, strict=True))


def test_a_snapshot_of_one_engine_restores_on_another(
    engine: Engine, micro_bundle: vpp_deploy.Bundle, clip: list[np.ndarray]
) -> None:
    session, reference = VideoSession(engine), VideoSession(vpp_deploy.open_reference(micro_bundle))
    session(clip[0])
    reference.restore(session.snapshot())
    a, b = session(clip[1]), reference(clip[1])
    assert a.instances.identities.tolist() == b.instances.identities.tolist()
    np.testing.assert_allclose(a.instances.scores, b.instances.scores, atol=1e-4)


def test_streams_of_one_engine_do_not_mix(engine: Engine, clip: list[np.ndarray]) -> None:
    clips = clip, clip[::-1]
    apart = []
    for frames in clips:
        session = VideoSession(engine)
        apart.append([session(frame) for frame in frames])
    sessions = [VideoSession(engine) for _ in clips]
    for index in range(len(clip)):
        for session, frames, expected in zip(sessions, clips, apart, strict=True):
            assert same(session(frames[index]), expected[index])


def test_frames_come_in_order_and_at_the_right_size(engine: Engine, clip: list[np.ndarray]) -> None:
    session = VideoSession(engine)
    frame = session.as_frame(clip[0])
    session(replace(frame, index=4))
    with pytest.raises(UsageError, match="frame 4 comes after frame 4"):
        session(replace(frame, index=4))
    with pytest.raises(UsageError, match="engine takes uint8"):
        session(clip[0][:-1])
    with pytest.raises(UsageError, match="float32"):
        session(clip[0].astype(np.float32))


def test_a_bundle_without_noise_input_refuses_a_noise_seed(engine: Engine) -> None:
    with pytest.raises(UsageError, match="takes no noise"):
        VideoSession(engine, noise_seed=1)


def test_running_a_bundle_needs_no_pytorch(micro_bundle: vpp_deploy.Bundle) -> None:
    """A deployment machine has no PyTorch: block it, and run a stream."""
    program = f"""
import sys
for name in ("torch", "torchvision", "timm", "onnxscript"):
    sys.modules[name] = None
import numpy as np, vpp_deploy
engine = vpp_deploy.load_engine(vpp_deploy.Bundle.open({str(micro_bundle.path)!r}))
with vpp_deploy.VideoSession(engine) as session:
    for value in (40, 90):
        print(len(session(np.full((*engine.frame_size, 3), value, np.uint8)).kept))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["3", "4"]


def shallow(keep: str) -> DetectorConfig:
    """A VPP model with as few layers as there can be in its head, which is most of the time that tracing takes."""
    config = model_config("vpp-micro", keep)
    return replace(config, head=replace(config.head, encoder_layers=1, decoder_layers=1))


SMALL = (64, 96)
WEIGHTS = vpp_deploy.RandomWeights()


@pytest.fixture(scope="module")
def small_clip(clip: list[np.ndarray]) -> list[np.ndarray]:
    return [np.ascontiguousarray(frame[: SMALL[0], : SMALL[1]]) for frame in clip[:3]]


@pytest.mark.usefixtures("one_thread")
def test_selection_noise_varies_with_the_seed(micro_bundle: vpp_deploy.Bundle, clip: list[np.ndarray]) -> None:
    """In PyTorch, whose model takes it as it is: `tests/families/vpp` shows that an exported graph does the same."""
    manifest = micro_bundle.manifest
    noise = TensorSpec(name="selection_noise", dtype="float32", shape=(4, math.prod(manifest.token_grid), 2))
    graphs = {
        role: graph.model_copy(update={"inputs": (*graph.inputs, noise)}) for role, graph in manifest.graphs.items()
    }
    noisy = vpp_deploy.Bundle(micro_bundle.path, manifest.model_copy(update={"graphs": graphs}))
    assert_noise_varies(vpp_deploy.open_reference(noisy), clip[:3])


@pytest.mark.slow
def test_selection_noise_of_an_exported_bundle(tmp_path: Path, small_clip: list[np.ndarray]) -> None:
    noisy = vpp_deploy.export(
        shallow("0.55"), out=tmp_path / "noisy.bundle", random_weights=WEIGHTS, size=SMALL, selection_noise=True
    )
    assert_noise_varies(vpp_deploy.build_engine(noisy), small_clip)


def assert_noise_varies(engine: Engine, frames: list[np.ndarray]) -> None:
    sessions = [VideoSession(engine, seed) for seed in (None, None, 1, 1, 2)]
    runs = [[session(frame) for frame in frames] for session in sessions]
    assert all(same(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    assert all(same(a, b) for a, b in zip(runs[2], runs[3], strict=True))
    assert not all(same(a, b) for a, b in zip(runs[2], runs[4], strict=True))


@pytest.mark.slow
def test_a_dense_bundle_has_no_state_tensors(tmp_path: Path, small_clip: list[np.ndarray]) -> None:
    dense = vpp_deploy.export(shallow("dense"), out=tmp_path / "dense.bundle", random_weights=WEIGHTS, size=SMALL)
    assert dense.manifest.state == ()
    session = VideoSession(vpp_deploy.build_engine(dense))
    assert [session(frame).kept for frame in small_clip] == [{}, {}, {}]
    snapshot = session.snapshot()
    assert (snapshot.stream.phase, snapshot.stream.tensors) == ("step", {})
