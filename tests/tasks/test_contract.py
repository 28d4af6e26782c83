"""Sessions hold a bundle's graphs, an engine's numbers and a snapshot to what the manifest says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import vpp_deploy
from tests.bundle.data.make import picture
from tests.bundle.tensors_factory import make_tensors
from tests.fuzz import bundles
from tests.fuzz.hostile_bundles import graph_changes, originals
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.protocols import StreamState
from vpp_deploy.errors import BundleError, EngineOutputError, ExitCode, UsageError
from vpp_deploy.frames import Frame
from vpp_deploy.tasks.segmentation.session import SessionState, VideoSession

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return originals(tmp_path_factory.mktemp("originals"))


@pytest.fixture
def copied(made: dict[str, Path], tmp_path: Path) -> Callable[[str, Change], Bundle]:
    """A copy of one of them whose manifest says something else."""

    def copy(kind: str, change: Change) -> Bundle:
        path = Path(shutil.copytree(made[kind], tmp_path / f"{kind}.bundle", dirs_exist_ok=True))
        content = bundles.manifest_of(path)
        change(content)
        (path / bundles.MANIFEST).write_text(json.dumps(content))
        return Bundle.open(path)

    return copy


def put(value: Any, *place: str | int) -> Change:
    def change(content: Any) -> None:
        for name in place[:-1]:
            content = content[name]
        content[place[-1]] = value

    return change


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("segmentation", put([4, 4], "frame_size"), "has frame as uint8"),
        ("segmentation", put(["one"], "class_names"), "has class_logits as float32"),
        ("segmentation", put(7, "detection", "max_tracks"), "has track_queries as float32"),
        ("segmentation", put(7, "detection", "query_width"), "has query_features as float32"),
        ("segmentation", put([1, 1], "token_grid"), "tokens at"),
        ("segmentation", put(1, "pruning_points", 0, "kept"), "instead of int32 [1]"),
        ("segmentation", put("nothing", "pruning_points", 0, "output"), "has no output nothing"),
        ("classification", put([4, 4], "frame_size"), "as uint8"),
        ("classification", put(["one"], "class_names"), "has logits as float32"),
        ("classification", put([], "class_names"), "knows no class"),
        ("classification", put(5, "batch"), "as uint8"),
        ("classification", put({"frames": 10**9, "sampling": 1}, "clip"), "TB of memory"),
        ("classification", put({"frames": 2, "sampling": 1}, "clip"), "has no input"),
        ("classification", put([1, 1], "pruning_points", 0, "grid"), "instead of float32"),
        ("classification", put(1, "pruning_points", 0, "kept"), "instead of int32"),
        ("segmentation", put([40000, 40000], "frame_size"), "a frame of 40000x40000 pixels would take 4.8 GB"),
        ("segmentation", put(2**31 - 1, "detection", "max_tracks"), "queries of 2147483647 tracks"),
        (
            "segmentation",
            put([2**31 - 1] * 2, "token_grid"),
            "x2147483647 would take petabytes",
        ),
    ],
)
def test_what_a_manifest_says_that_its_graphs_do_not(
    copied: Callable[[str, Change], Bundle], kind: str, change: Change, words: str
) -> None:
    bundle = copied(kind, change)
    with pytest.raises(BundleError) as caught:
        vpp_deploy.open_session(vpp_deploy.load_engine(bundle))
    assert words in str(caught.value)


def test_a_crop_ratio_is_bounded_by_the_picture_that_it_makes(copied: Callable[[str, Change], Bundle]) -> None:
    change = put(0.01, "preprocessing", "crop_ratio")
    session = vpp_deploy.open_session(vpp_deploy.load_engine(copied("classification", change)))
    height, width = session.manifest.frame_size
    bundle = Bundle.open(copied("classification", change).path, max_memory=int(3 * height * width / 0.01**2) - 1)
    with pytest.raises(BundleError, match=r"a picture resized for the crop ratio 0\.01"):
        vpp_deploy.load_engine(bundle)
    with pytest.raises(BundleError, match="crop_ratio"):
        copied("classification", put(1e-5, "preprocessing", "crop_ratio"))


@pytest.mark.parametrize(
    ("kind", "label", "words"),
    [
        ("segmentation", "NaN", "are NaN or infinite"),
        ("classification", "NaN", "are NaN or infinite"),
        ("segmentation", "positions that there are not", "1073741824, and there are"),
    ],
)
def test_numbers_that_no_result_can_be_made_of(
    made: dict[str, Path], kind: str, label: str, words: str, tmp_path: Path
) -> None:
    """Refused with the engine, the output and the frame; not shown as `nan%`."""
    path = Path(shutil.copytree(made[kind], tmp_path / "lying.bundle"))
    role = "init" if kind == "segmentation" else "model"
    model = onnx.load(path / f"{role}.onnx", load_external_data=False)
    graph_changes()[label](model)
    bundles.replace_file(path, f"{role}.onnx", model.SerializeToString())
    session = vpp_deploy.open_session(vpp_deploy.build_engine(Bundle.open(path), force=True))
    image = picture(0)
    frame = Frame(image, image.shape[:2], image, 0)
    with pytest.raises(EngineOutputError, match=r"^frame 0: .*onnxruntime engine.*vpp-deploy parity") as caught:
        list(session.run([frame])) if kind == "classification" else session(frame)
    assert words in str(caught.value)
    assert caught.value.exit_code == ExitCode.BAD_INPUT


def test_plain_tensors_may_be_no_numbers_if_that_is_asked_for(tmp_path: Path) -> None:
    engine = vpp_deploy.build_engine(make_tensors(tmp_path / "b", "g (float[2] x) => (float[2] y) { y = Log (x) }"))
    inputs = {"x": np.array([1, -1], np.float32)}
    session = vpp_deploy.open_session(engine)
    session({"x": np.ones(2, np.float32)})
    with pytest.raises(EngineOutputError, match=r"frame 1: of y, 1 of 2 values .*--allow-nonfinite"):
        session(inputs)
    assert np.isnan(vpp_deploy.open_session(engine, allow_nonfinite=True)(inputs)["y"][1])


def test_large_numbers_are_numbers(tmp_path: Path) -> None:
    """Their sum is infinite; they are not."""
    engine = vpp_deploy.build_engine(
        make_tensors(tmp_path / "b", "g (float[2] x) => (float[2] y) { y = Identity (x) }")
    )
    values = np.full(2, 3e38, np.float32)
    assert np.array_equal(vpp_deploy.open_session(engine)({"x": values})["y"], values)


@pytest.fixture
def session(made: dict[str, Path]) -> Iterator[VideoSession]:
    with vpp_deploy.open_session(vpp_deploy.load_engine(Bundle.open(made["segmentation"]))) as opened:
        for number in range(2):
            opened(picture(number))
        yield opened


def with_tensor(state: SessionState, change: Callable[[np.ndarray], np.ndarray], kind: type) -> SessionState:
    tensors = dict(state.stream.tensors)
    name = next(name for name, array in tensors.items() if np.issubdtype(array.dtype, kind))
    tensors[name] = change(tensors[name].copy())
    return replace(state, stream=replace(state.stream, tensors=tensors))


def with_tracker(state: SessionState, **changes: Any) -> SessionState:
    return replace(state, tracker=replace(state.tracker, **changes))


def features(state: SessionState, value: float) -> np.ndarray:
    found = state.tracker.features.copy()
    found[0, 0] = value
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: replace(state, stream=replace(state.stream, bundle="0" * 64)), "of another bundle"),
        (lambda state: replace(state, stream=replace(state.stream, phase="model")), "phase 'model'"),
        (lambda state: replace(state, stream=StreamState("init")), "contradict each other"),
        (lambda state: replace(state, stream=replace(state.stream, tensors={})), "it holds no state"),
        (lambda state: with_tensor(state, lambda array: array[:-1], np.floating), "the bundle's is float32"),
        (lambda state: with_tensor(state, lambda array: array.astype(np.float64), np.floating), "is float64"),
        (lambda state: with_tensor(state, lambda array: array * np.nan, np.floating), "holds NaN or infinity"),
        (lambda state: with_tensor(state, lambda array: array + 10**6, np.integer), "lies outside the"),
        (lambda state: with_tensor(state, lambda array: -1 - array, np.integer), "lies outside the"),
        (lambda state: replace(state, frames=-1), "numbers that no video leads to"),
        (lambda state: replace(state, last_index=0), "contradict each other"),
        (lambda state: replace(state, noise={}), "its noise cannot be continued"),
        (lambda state: replace(state, noise={"bit_generator": "MT19937"}), "its noise cannot be continued"),
        (lambda state: with_tracker(state, next_identity=0), "no video leads to"),
        (lambda state: with_tracker(state, features=features(state, np.inf)), "no video leads to"),
        (lambda state: with_tracker(state, features=state.tracker.features[:, 1:].copy()), "features are float32"),
        (lambda state: with_tracker(state, last_seen=state.tracker.last_seen + 9), "no video leads to"),
        (lambda state: with_tracker(state, learned_queries=state.tracker.learned_queries - 99), "no video leads to"),
        (lambda state: with_tracker(state, identities=state.tracker.identities - 1), "no video leads to"),
        (lambda state: with_tracker(state, identities=state.tracker.identities[1:]), "do not belong together"),
        (lambda state: with_tracker(state, fed=np.array([77])), "no video leads to"),
    ],
)
def test_a_snapshot_that_is_refused_changes_nothing(
    session: VideoSession, change: Callable[[SessionState], SessionState], words: str
) -> None:
    good = session.snapshot()
    assert len(good.tracker.identities)
    expected = session(picture(2)).instances
    session.restore(good)
    with pytest.raises(UsageError, match=r"^snapshot: ") as caught:
        session.restore(change(good))
    assert words in str(caught.value)
    found = session(picture(2)).instances
    np.testing.assert_array_equal(found.identities, expected.identities)
    np.testing.assert_array_equal(found.scores, expected.scores)


ODD: tuple[Any, ...] = (
    None, True, -1, 2**63, 2**70, float("nan"), 1.5, "x", b"x", [], {}, (), [None], {"a": 1}, object(), np.int64(3),
    np.array([1]), np.full((3, 3), np.nan), np.array(["x"]),
)  # fmt: skip


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if is_dataclass(value):
        inner = {item.name: getattr(value, item.name) for item in fields(value)}
    else:
        inner = dict(value) if isinstance(value, Mapping) else {}
    return [place for name, item in inner.items() for place in [(*path, name), *places(item, (*path, name))]]


def replaced(value: Any, place: tuple[str, ...], new: Any) -> Any:
    if not place:
        return new
    name, *rest = place
    if isinstance(value, Mapping):
        return {**value, name: replaced(value[name], tuple(rest), new)}
    return replace(value, **{name: replaced(getattr(value, name), tuple(rest), new)})


def test_a_snapshot_with_anything_in_any_place(session: VideoSession) -> None:
    """Refused in one line and without a change, or taken and then run with."""
    good = session.snapshot()
    refused = 0
    for place in places(good):
        for value in ODD:
            try:
                changed = replaced(good, place, value)
            except (AttributeError, ValueError):  # there is no such snapshot
                continue
            said = ""
            try:
                session.restore(changed)
            except UsageError as error:
                said = str(error)
            if not said:
                session(picture(2))
                session.restore(good)
                continue
            refused += 1
            assert said.startswith("snapshot: "), (place, value)
            assert "\n" not in said, (place, value)
            now = session.snapshot()
            assert now.tracker is good.tracker
            assert (now.frames, now.last_index) == (good.frames, good.last_index)
    assert refused > 200


def test_a_snapshot_of_another_bundle_of_the_same_shapes(
    session: VideoSession, made: dict[str, Path], tmp_path: Path
) -> None:
    path = Path(
        shutil.copytree(made["segmentation"], tmp_path / "other.bundle", ignore=shutil.ignore_patterns("engines"))
    )
    content = bytearray((path / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    bundles.replace_file(path, "weights.safetensors", bytes(content))
    other = vpp_deploy.open_session(vpp_deploy.build_engine(Bundle.open(path)))
    with pytest.raises(UsageError, match="taken from a stream of another bundle"):
        other.restore(session.snapshot())
