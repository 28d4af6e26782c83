"""Frames as clients send them, and streams of them on the session of a pool."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image

import vpp_deploy as vd
from vpp_deploy.errors import StreamError, UsageError, VideoError
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.serving.triton.frames import Details, StreamFrame, decode, stream_name
from vpp_deploy.serving.triton.sessions import StreamModel
from vpp_deploy.serving.triton.snapshots import SnapshotStore

SIZE = (128, 192)


def picture(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (90, 200, 3), np.uint8)


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, kind, lossless=True)
    return file.getvalue()


def test_pictures_and_letterboxed_frames_are_alike() -> None:
    """The session needs the original picture for its size alone."""
    raw = StreamFrame("a", picture(), Details()).at(3, SIZE)
    image, _ = letterbox(picture(), SIZE)
    for frame in (
        StreamFrame("a", encoded("PNG"), Details()).at(3, SIZE),
        StreamFrame("a", encoded("WEBP"), Details()).at(3, SIZE),
        StreamFrame("a", image, Details(original_size=(90, 200))).at(3, SIZE),
    ):
        assert_array_equal(frame.image, raw.image)
        assert (frame.content_size, frame.original_size, frame.index) == (raw.content_size, raw.original_size, 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes is none; send JPEG, PNG or WebP"),
        (encoded("TIFF"), "is TIFF; send JPEG, PNG or WebP"),
        (encoded("PNG")[:200], "a PNG picture of 200 bytes is damaged"),
        (b"\xff\xd8\xff" + bytes(100), "a JPEG picture of 103 bytes is damaged"),
    ],
)
def test_what_is_no_picture_is_one_line(content: bytes, words: str) -> None:
    with pytest.raises(VideoError, match=words) as caught:
        decode(content)
    assert "\n" not in str(caught.value)


@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.data())
@settings(max_examples=60)
def test_a_damaged_picture_gives_pixels_or_one_line(kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(content[: data.draw(st.integers(1, len(content)))]))
        outcome = f"{found.dtype} {found.ndim} {found.shape[2]}"
    except VideoError as error:
        outcome = str(error)
    assert outcome == "uint8 3 3" or "damaged" in outcome or "send JPEG" in outcome
    assert "\n" not in outcome


def test_a_picture_of_too_many_pixels_is_not_decoded() -> None:
    file = io.BytesIO()
    Image.new("1", (20000, 10000)).save(file, "PNG")
    with pytest.raises(VideoError, match="200000000 pixels"):
        decode(file.getvalue())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"number": True}, "number is True; it is a whole number"),
        ({"number": 2**62 + 1}, "it is a whole number"),
        ({"number": 1.0}, "it is a whole number"),
        ({"original_size": 5}, "original_size is 5; it is HEIGHTxWIDTH"),
        ({"original_size": "0x5"}, "it is HEIGHTxWIDTH"),
        ({"original_size": "999999x999999"}, "has more pixels than"),
        ({"resume": "yes"}, "resume is 'yes'; it is true or false"),
    ],
)
def test_parameters_of_another_form_are_refused(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Details.of(parameters)


def test_no_two_ids_have_one_name() -> None:
    identities: list[int | str] = [7, "7", '"7"', '""7""', "", '"', "a", 'a"', "007", "٣", -7, "-7x"]
    names = [stream_name(identity) for identity in identities]
    for (one, first), (other, second) in itertools.combinations(zip(identities, names, strict=True), 2):
        assert first != second, (one, other)


def test_a_stream_goes_on_from_its_snapshot_in_another_process(micro_bundle: vd.Bundle, tmp_path: Path) -> None:
    model = vd.load(micro_bundle, threads=1)
    frames = [np.roll(picture(), 4 * number, axis=1) for number in range(5)]
    expected = list(model.track(frames))
    store = SnapshotStore(tmp_path / "snapshots")
    first = StreamModel(model, store).session()
    for number in range(3):
        first(StreamFrame("cam/../1", frames[number], Details(number=10 + number)))
    assert store.load("cam/../1", None) == store.load("cam/../1", 13)
    for following in (13, 12):  # the next one, and the one whose answer was lost
        second = StreamModel(model).session()
        second.restore(store.load("cam/../1", following))
        result = second(StreamFrame("cam/../1", frames[following - 10], Details()))
        assert result.frame is None
        assert result.index == expected[following - 10].index
        assert_array_equal(result.instances.masks, expected[following - 10].instances.masks)
        assert_array_equal(result.instances.scores, expected[following - 10].instances.scores)
    with pytest.raises(StreamError, match="no snapshot of frame 10, the last one is of frame 12; resume with frame 13"):
        store.load("cam/../1", 11)


def test_snapshots_are_as_rare_as_asked_for_and_a_cancelled_frame_is_left_out(
    micro_bundle: vd.Bundle, tmp_path: Path
) -> None:
    model, store = vd.load(micro_bundle, threads=1), SnapshotStore(tmp_path)
    session = StreamModel(model, store, every=2).session()
    session(StreamFrame("a", picture(), Details()))
    with pytest.raises(StreamError, match="'a' has no snapshot; start it anew"):
        store.load("a", None)
    with pytest.raises(UsageError, match="the client has cancelled this frame"):
        session(StreamFrame("a", picture(), Details(), lambda: True))
    session(StreamFrame("a", picture(), Details()))
    assert store.load("a", 2) == session.snapshot().to_bytes()


def test_a_snapshot_that_cannot_be_written_costs_no_frame(
    micro_bundle: vd.Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SnapshotStore(tmp_path / "there")
    session = StreamModel(vd.load(micro_bundle, threads=1), store).session()
    (tmp_path / "there").rmdir()
    (tmp_path / "there").touch()
    assert session(StreamFrame("a", picture(), Details())).index == 0
    (record,) = caplog.records
    assert record.getMessage().startswith("stream 'a': a snapshot cannot be written in")
    assert getattr(record, "stream", None) == "a"
