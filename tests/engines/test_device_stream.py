"""Streams with their state on a device: swapping, capturing, prefetching, several streams over one engine."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import vpp_deploy
from tests.engines.recording_device import RecordingContext, RecordingDevice
from vpp_deploy.bundle import Bundle
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.device_stream import DeviceStream
from vpp_deploy.engines.onnxruntime.sessions import Session, session_options
from vpp_deploy.engines.onnxruntime_cuda.device import OnnxRuntimeDevice
from vpp_deploy.engines.onnxruntime_cuda.engine import OnnxRuntimeCudaEngine
from vpp_deploy.engines.protocols import Array, Engine, EngineStream
from vpp_deploy.errors import DeviceError, IncompatibleEngineError
from vpp_deploy.options import NoOptions
from vpp_deploy.tasks.segmentation.session import VideoSession

FRAMES = 7
Open = Callable[[RecordingDevice], DeviceStream]


@pytest.fixture(scope="module")
def engine(micro_bundle: Bundle) -> Engine:
    return vpp_deploy.load_engine(micro_bundle, threads=1)


@pytest.fixture(scope="module")
def clip() -> Sequence[np.ndarray]:
    return list(render_clip("val", 0, 0, frames=FRAMES, size=(128, 192)).frames)


@pytest.fixture(scope="module")
def inputs(engine: Engine, clip: Sequence[np.ndarray]) -> list[dict[str, Array]]:
    """What a session feeds on each frame."""
    session, fed = VideoSession(engine), []
    for image in clip:
        frame = session.as_frame(image)
        fed.append(session.prepare(frame))
        session.complete(frame, session.stream.run(fed[-1]))
    return fed


@pytest.fixture(scope="module")
def expected(engine: Engine, inputs: list[dict[str, Array]]) -> list[dict[str, Array]]:
    stream = engine.open_stream()
    return [stream.run(frame) for frame in inputs]


@pytest.fixture(scope="module")
def open_stream(micro_bundle: Bundle) -> Open:
    folder = micro_bundle.engine_folder("onnxruntime")
    sessions = {
        phase: Session(
            folder / f"{phase}.onnx", session_options(threads=1), error=IncompatibleEngineError, label=phase
        ).native
        for phase in micro_bundle.manifest.roles
    }
    return lambda device: DeviceStream(
        micro_bundle.manifest, device, lambda phase: RecordingContext(device, sessions[phase])
    )


def equal(ours: dict[str, Array], theirs: dict[str, Array]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert_array_equal(ours[name], value, err_msg=name)


def check(stream: EngineStream, inputs: Sequence[dict[str, Array]], expected: Sequence[dict[str, Array]]) -> None:
    for fed, outputs in zip(inputs, expected, strict=True):
        equal(stream.run(fed), outputs)


def state_bindings(device: RecordingDevice, manifest: vpp_deploy.bundle.Manifest) -> Iterator[tuple[int, int]]:
    """For every step that was put into a queue or captured: where the first state is read and written."""
    state = manifest.state[0]
    for _, addresses in device.calls("enqueue"):
        if state.input in addresses:
            yield addresses[state.input], addresses[state.output]


@pytest.mark.parametrize("captures", [True, False])
def test_a_stream_on_a_device_computes_the_same(open_stream, inputs, expected, captures):
    check(open_stream(RecordingDevice(captures)), inputs, expected)


def test_state_stays_on_the_device_and_swaps_every_frame(open_stream, micro_bundle, inputs, expected):
    device = RecordingDevice(captures=False)
    stream = open_stream(device)
    check(stream, inputs, expected)
    steps = list(state_bindings(device, micro_bundle.manifest))
    assert len(steps) == FRAMES - 1
    assert all(ours == theirs[::-1] for ours, theirs in pairwise(steps))
    copied = {entry[1] for entry in (*device.calls("upload"), *device.calls("download"))}
    assert not copied & set(steps[0])


def test_two_graphs_are_captured_each_after_a_warm_up(open_stream, micro_bundle, inputs, expected):
    device = RecordingDevice()
    check(open_stream(device), inputs, expected)
    work = [entry[0] for entry in device.log if entry[0] in ("enqueue", "capture", "launch")]
    # init; both directions once as they are; then each is captured (which puts its run into the graph) and launched
    captured = ["capture", "enqueue", "launch"]
    assert work == ["enqueue", "enqueue", "enqueue", *captured, *captured, "launch", "launch"]
    assert len({entry[1] for entry in device.calls("launch")}) == 2
    *_, first, second = state_bindings(device, micro_bundle.manifest)
    assert first == second[::-1]


def test_what_cannot_be_captured_runs_without_and_says_so_once(open_stream, inputs, expected, caplog):
    device = RecordingDevice(refuses_capture=True)
    with caplog.at_level(logging.WARNING):
        check(open_stream(device), inputs, expected)
    assert len(device.calls("capture")) == 1
    assert not device.calls("launch")
    assert [record.message for record in caplog.records] == [
        "the step graph cannot be captured on recording (it refuses to); running without"
    ]


def test_what_says_that_it_cannot_be_captured_is_not_tried(open_stream, inputs, expected, caplog, monkeypatch):
    monkeypatch.setattr(RecordingContext, "capturable", False)
    device = RecordingDevice()
    check(open_stream(device), inputs, expected)
    assert not device.calls("capture")
    assert [record.message for record in caplog.records] == [
        "the step graph cannot be captured on recording (its engine allocates memory while it runs); running without"
    ]


def test_outputs_can_stay_and_give_rows(open_stream, inputs, expected):
    """Only what is asked for is copied, out of the frame that ran last."""
    device = RecordingDevice()
    stream = open_stream(device)
    for number, (fed, outputs) in enumerate(zip(inputs, expected, strict=True)):
        rows = np.arange(number, 50, 7)
        masks = outputs["mask_logits"]
        equal(stream.run(fed, leave=("mask_logits",)), {n: v for n, v in outputs.items() if n != "mask_logits"})
        assert_array_equal(stream.rows("mask_logits", rows % len(masks)), masks[rows % len(masks)])
        assert stream.rows("mask_logits", rows[:0]).shape == (0, *masks.shape[1:])
    downloaded = {entry[1] for entry in device.calls("download")}
    assert not downloaded & {entry[1] for entry in device.calls("download_rows")}


def test_a_session_copies_the_masks_of_what_it_finds(open_stream, micro_bundle, engine, clip):
    """And finds the same."""

    class OnDevice:
        """The engine, with streams on the recording device."""

        def __init__(self) -> None:
            self.device = RecordingDevice()

        def open_stream(self) -> DeviceStream:
            return open_stream(self.device)

        def __getattr__(self, name: str) -> object:
            return getattr(engine, name)

    on_device, plain = OnDevice(), VideoSession(engine)
    session = VideoSession(on_device)
    for image in clip:
        ours, theirs = session(image), plain(image)
        assert_array_equal(ours.instances.masks, theirs.instances.masks)
        assert_array_equal(ours.instances.scores, theirs.instances.scores)
    copied = [len(entry[2]) for entry in on_device.device.calls("download_rows")]
    assert len(copied) == FRAMES
    spec = micro_bundle.manifest.outputs_of("step")["mask_logits"]
    assert max(copied) < spec.shape[0], "the demo's scenes are not full of objects"


def test_prefetched_inputs_go_up_on_a_queue_of_their_own(open_stream, inputs, expected):
    device = RecordingDevice()
    stream = open_stream(device)
    for number, fed in enumerate(inputs):
        equal(stream.run(fed), expected[number])
        if number + 1 < FRAMES:
            stream.prefetch({"frame": inputs[number + 1]["frame"]})
    assert len(device.calls("follow")) == FRAMES - 1
    assert len(device.calls("copy")) == FRAMES - 1
    assert {entry[2] for entry in device.calls("upload")} == {1, 2}


def test_what_was_prefetched_in_vain_is_not_used(open_stream, inputs, expected):
    device = RecordingDevice()
    stream = open_stream(device)
    for fed, outputs in zip(inputs, expected, strict=True):
        stream.prefetch({"frame": np.zeros_like(fed["frame"])})
        stream.prefetch({"frame": fed["frame"] // 2})
        equal(stream.run(fed), outputs)
    assert not device.calls("copy")


def test_reset_starts_anew_and_keeps_the_graphs(open_stream, inputs, expected):
    device = RecordingDevice()
    stream = open_stream(device)
    for length in (FRAMES, 1, 4, FRAMES):
        stream.reset()
        check(stream, inputs[:length], expected[:length])
    assert len(device.calls("capture")) == 2


@pytest.mark.parametrize("split", range(FRAMES))
def test_a_snapshot_continues_on_any_engine(open_stream, engine, inputs, expected, split):
    ours, theirs = open_stream(RecordingDevice()), engine.open_stream()
    check(ours, inputs[:split], expected[:split])
    snapshot = ours.snapshot()
    check(ours, inputs[split:], expected[split:])
    theirs.restore(snapshot)
    check(theirs, inputs[split:], expected[split:])
    ours.run(inputs[split])  # so that both directions come before a restore
    ours.restore(snapshot)
    check(ours, inputs[split:], expected[split:])
    ours.restore(snapshot)
    check(ours, inputs[split:], expected[split:])


def test_streams_over_one_engine_do_not_meet(open_stream, inputs, expected):
    device = RecordingDevice()
    first, second = open_stream(device), open_stream(device)
    check(first, inputs[:3], expected[:3])
    for number, (fed, outputs) in enumerate(zip(inputs, expected, strict=True)):
        equal(second.run(fed), outputs)
        if 3 + number < FRAMES:
            equal(first.run(inputs[3 + number]), expected[3 + number])


@pytest.fixture(scope="module")
def bound_bundle(micro_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A copy with an engine for ONNX Runtime's CUDA provider."""
    path = tmp_path_factory.mktemp("bound") / "micro.bundle"
    shutil.copytree(micro_bundle.path, path)
    bundle = Bundle.open(path)
    BACKENDS["onnxruntime-cuda"].prepare(bundle, NoOptions()).run(lambda step, share: None)
    return bundle


def test_onnxruntime_with_bound_memory_computes_the_same(bound_bundle, inputs, expected):
    stream = OnnxRuntimeCudaEngine(bound_bundle, device="cpu").open_stream()
    for fed, outputs in zip(inputs, expected, strict=True):
        ours = stream.run(fed)
        assert_array_equal(ours["query_indices"], outputs["query_indices"])
        for name, value in outputs.items():
            np.testing.assert_allclose(ours[name], value, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("prefetches", [False, True])
def test_onnxruntime_moves_each_input_and_output_once_a_frame(bound_bundle, inputs, prefetches, monkeypatch):
    moved = []

    def count(name):
        move = getattr(OnnxRuntimeDevice, name)

        def counted(*arguments):
            moved.append(name)
            move(*arguments)

        monkeypatch.setattr(OnnxRuntimeDevice, name, counted)

    for name in ("upload", "download", "copy"):
        count(name)
    stream, graphs = OnnxRuntimeCudaEngine(bound_bundle, device="cpu").open_stream(), bound_bundle.manifest.graphs
    for number, fed in enumerate(inputs):
        moved.clear()
        stream.run(fed)
        if prefetches and number + 1 < FRAMES:
            stream.prefetch({"frame": inputs[number + 1]["frame"]})
        graph = graphs["step" if number else "init"]
        assert moved == ["upload"] * len(graph.inputs) + ["download"] * len(graph.outputs)


def test_a_provider_that_is_not_there_is_an_error_when_it_is_needed(bound_bundle):
    """Not before: engines are also built and inspected where there is no GPU."""
    engine = vpp_deploy.build_engine(bound_bundle, "onnxruntime-cuda", force=True)
    with pytest.raises(DeviceError, match=r"no CUDAExecutionProvider: .*vpp-deploy\[gpu\]"):
        engine.open_stream()
