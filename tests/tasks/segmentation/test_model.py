"""A model as a Python program uses it: any picture in, results that filter, draw, save and convert."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

import vpp_deploy as vd
from tests.media.clips import write_clip
from vpp_deploy.errors import BundleError, IncompatibleEngineError, UsageError
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.session_bytes import parts

SIZE = (100, 140)
"""Not the model's: 128x192."""


@pytest.fixture(scope="module")
def model(micro_bundle: vd.Bundle) -> vd.SegmentationModel:
    loaded = vd.load(micro_bundle, threads=1)
    assert isinstance(loaded, vd.SegmentationModel)
    return loaded


@pytest.fixture(scope="module")
def pictures() -> Sequence[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(4)]


@pytest.fixture(scope="module")
def results(model: vd.SegmentationModel, pictures: Sequence[np.ndarray]) -> list[FrameResult]:
    return list(model.track(pictures))


@pytest.fixture
def result(results: list[FrameResult]) -> FrameResult:
    """With three objects, whatever the random weights see."""
    masks = np.zeros((3, *SIZE), np.bool_)
    masks[0, 10:30, 20:50] = masks[1, 50:60, 5:25] = masks[2, 70:90, 100:130] = True
    boxes = np.array([[20, 10, 50, 30], [5, 50, 25, 60], [100, 70, 130, 90]], np.float32)
    scores = np.array([0.9, 0.4, 0.7], np.float32)
    instances = vd.Instances(masks, boxes, scores, np.array([0, 2, 0]), np.array([4, 7, 9]), results[1].names)
    return replace(results[1], instances=instances)


def test_frames_of_any_size_and_kind_are_followed(
    model: vd.SegmentationModel, pictures: Sequence[np.ndarray], results: list[FrameResult]
) -> None:
    session = vd.VideoSession(model.engine)
    for number, (picture, ours) in enumerate(zip(pictures, results, strict=True)):
        image, content = vd.letterbox(picture, model.frame_size)
        theirs = session(vd.Frame(image, content, picture, number))
        assert ours.index == number
        assert ours.original_size == SIZE
        assert_array_equal(ours.instances.masks, theirs.instances.masks)
        assert_array_equal(ours.instances.identities, theirs.instances.identities)
        assert ours.names == model.names
    for ours, theirs in zip(model.track((p[:, :, ::-1] for p in pictures), bgr=True), results, strict=True):
        assert_array_equal(ours.instances.scores, theirs.instances.scores)
    assert_array_equal(model(Image.fromarray(pictures[0])).instances.scores, results[0].instances.scores)


def test_a_video_file_is_followed_as_infer_does(model: vd.SegmentationModel, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=3, size=(60, 90))
    found = list(model.track(clip))
    assert [result.index for result in found] == [0, 1, 2]
    assert all(result.time is not None for result in found)
    assert len(list(model.track(str(clip), max_frames=2))) == 2
    assert len(list(model.track([np.zeros((4, 4, 3), np.uint8)] * 3, max_frames=2))) == 2
    with pytest.raises(vd.VppDeployError):
        model.track(tmp_path / "missing.mp4")
    with pytest.raises(UsageError, match="max_frames is 0"):
        model.track([], max_frames=0)


def test_instances_filter_and_iterate(result: FrameResult) -> None:
    instances = result.instances
    sure = instances[instances.scores > 0.5]
    assert sure.identities.tolist() == [4, 9]
    assert [one.identity for one in result] == [4, 7, 9]
    assert len(result) == len(instances) == 3
    assert instances[-1].box.tolist() == [100, 70, 130, 90]
    assert instances[1].name == result.names[2]
    assert instances.of_class(result.names[0]).identities.tolist() == [4, 9]
    assert len(instances.of_class()) == len(instances[[]]) == 0
    assert instances[[2, 0]].identities.tolist() == [9, 4]
    assert instances[1:].names == result.names
    with pytest.raises(UsageError, match="no class 'unicorn'; classes are"):
        instances.of_class("unicorn")
    with pytest.raises(IndexError):
        instances[3]


def test_results_draw_save_and_convert(result: FrameResult, tmp_path: Path) -> None:
    assert result.frame is not None
    picture = vd.draw(result.frame, result, result.names)
    assert_array_equal(result.plot(header=False), picture)
    assert_array_equal(result.plot()[: len(picture)], picture)
    assert_array_equal(result.plot("none", header=False), result.frame.original)
    result.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert_array_equal(np.array(image), result.plot())
    told = json.loads(result.to_json())
    assert [one["class"] for one in told["instances"]] == [one.name for one in result]
    coco = result.to_coco(17)
    assert [one["image_id"] for one in coco] == [17] * 3
    assert coco[0]["bbox"] == [20, 10, 30, 20]
    assert coco[1]["category_id"] == 3
    assert json.dumps(coco)


def test_results_become_tables_and_detections(result: FrameResult, results: list[FrameResult]) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("supervision")
    table = replace(result, time=Fraction(1, 25)).to_pandas()
    assert table["area"].tolist() == [600, 200, 600]
    assert table["time"].tolist() == [0.04] * 3
    detections = result.to_supervision()
    assert detections[detections.confidence > 0.5].tracker_id.tolist() == [4, 9]
    assert detections.area.tolist() == [600, 200, 600]
    empty = replace(result, instances=result.instances[[]])
    assert len(empty.to_pandas()) == len(empty.to_supervision()) == 0
    assert list(empty.to_pandas().columns) == list(table.columns)


def test_a_session_keeps_no_frame_and_says_so(
    model: vd.SegmentationModel, pictures: Sequence[np.ndarray], micro_bundle: vd.Bundle
) -> None:
    image, _ = vd.letterbox(pictures[0], model.frame_size)
    plain = vd.VideoSession(model.engine)(image)
    with pytest.raises(UsageError, match="holds no frame"):
        plain.plot()
    with pytest.raises(UsageError, match="take the result of a model"):
        plain.instances.of_class("person")


def test_a_snapshot_travels_as_bytes(
    model: vd.SegmentationModel, pictures: Sequence[np.ndarray], results: list[FrameResult], micro_bundle: vd.Bundle
) -> None:
    stream = model.session()
    for picture in pictures[:2]:
        stream(picture)
    content = stream.snapshot().to_bytes()
    later = vd.load(micro_bundle, threads=1).session()
    later.restore(content)
    for picture, expected in zip(pictures[2:], results[2:], strict=True):
        ours = later(picture)
        assert ours.index == expected.index
        assert_array_equal(ours.instances.masks, expected.instances.masks)
        assert_array_equal(ours.instances.identities, expected.instances.identities)
    assert vd.SessionState.from_bytes(content).to_bytes() == content
    later.reset()
    assert later(pictures[0]).index == 0


def test_bytes_that_are_no_snapshot_change_nothing(
    model: vd.SegmentationModel, pictures: Sequence[np.ndarray], results: list[FrameResult]
) -> None:
    stream = model.session()
    stream(pictures[0])
    content = stream.snapshot().to_bytes()
    generator = np.random.default_rng(0)
    damaged = [b"", b"\0" * 8, content[:-1], content[: len(content) // 2], b"x" + content]
    for _ in range(100):
        changed = bytearray(content)
        changed[int(generator.integers(0, 1000))] ^= int(generator.integers(1, 256))
        damaged.append(bytes(changed))
    told: list[str] = []
    other = model.session()
    for one in damaged:
        try:
            other.restore(one)
        except UsageError as error:
            told.append(str(error))
    assert len(told) > 40  # a changed value of a tensor is a value, too
    assert not any("\n" in line for line in told)
    with pytest.raises(UsageError, match="to_bytes"):
        parts(b"nothing")
    assert_array_equal(stream(pictures[1]).instances.masks, results[1].instances.masks)


def test_load_finds_what_there_is_and_names_what_there_is_not(micro_bundle: vd.Bundle, tmp_path: Path) -> None:
    assert vd.load(str(micro_bundle.path), threads=1).names == micro_bundle.manifest.class_names
    with pytest.raises(IncompatibleEngineError):
        vd.load(micro_bundle, "onnxruntime-cuda")
    with pytest.raises(UsageError, match="abacus"):
        vd.load(micro_bundle, "abacus")
    with pytest.raises(UsageError, match="knows the option 'colour'"):
        vd.load(micro_bundle, colour="red")
    with pytest.raises(BundleError):
        vd.load(tmp_path)


def reused(pictures: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """As a camera gives them: all in one array."""
    buffer = np.empty_like(pictures[0])
    for picture in pictures:
        buffer[:] = picture
        yield buffer
    buffer[:] = 0


@pytest.mark.parametrize(("pooled", "bgr"), [(False, False), (False, True), (True, False)])
def test_one_array_may_bring_all_pictures(
    model: vd.SegmentationModel, pictures: Sequence[np.ndarray], results: list[FrameResult], pooled: bool, bgr: bool
) -> None:
    buffered = reused([picture[:, :, ::-1] for picture in pictures] if bgr else pictures)
    if pooled:
        with vd.SessionPool(model, workers=1) as pool:
            futures = [pool.submit("a", picture, start=not number) for number, picture in enumerate(buffered)]
            found = [future.result() for future in futures]
    else:
        found = list(model.track(buffered, bgr=bgr))
    for ours, theirs in zip(found, results, strict=True):
        assert_array_equal(ours.instances.boxes, theirs.instances.boxes)
        assert_array_equal(ours.plot(), theirs.plot())


def test_one_picture_is_no_video(model: vd.SegmentationModel, pictures: Sequence[np.ndarray]) -> None:
    with pytest.raises(UsageError, match=r"one picture, \[100, 140, 3\]: use model\(picture\), or \[picture\]"):
        model.track(pictures[0])
    assert len(list(model.track([pictures[0]]))) == len(list(model.track(pictures[0][None]))) == 1


def test_the_method_of_the_other_kind_of_models_names_ones_own(model: vd.SegmentationModel) -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'run'.*use track\(source\)"):
        model.run  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(model, "run")
