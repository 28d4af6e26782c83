"""Where the inputs of plain tensors come from."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.media.clips import write_clip
from tests.tasks.tensors.models import HEIGHT, WIDTH, numbers, pictures, stacked
from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.manifest import TensorSpec
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.errors import UsageError, VideoError, VppDeployError
from vpp_deploy.media import InputFile
from vpp_deploy.tasks.tensors.source import open_source, picture_input


def manifest_of(bundle: Bundle) -> TensorsManifest:
    return TensorsManifest.of(bundle.manifest, "this test")


def read(path: Path, bundle: Bundle, max_frames: int | None = None) -> list[dict[str, np.ndarray]]:
    with open_source(path, manifest_of(bundle), max_frames) as source:
        return [dict(inputs) for inputs in source]


def test_arrays_are_read_frame_by_frame(sums: Bundle, tmp_path: Path) -> None:
    frames = numbers(4)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "inputs.npz", **stacked(frames))  # type: ignore[arg-type]
        for given, wanted in zip(read(tmp_path / "inputs.npz", sums), frames, strict=True):
            assert given.keys() == wanted.keys()
            assert all(np.array_equal(given[name], wanted[name]) for name in wanted)
    assert len(read(tmp_path / "inputs.npz", sums, max_frames=3)) == 3
    assert len(read(tmp_path / "inputs.npz", sums, max_frames=9)) == 4


def test_arrays_in_the_order_of_fortran_are_the_same_arrays(sums: Bundle, tmp_path: Path) -> None:
    wanted = stacked(numbers(4))
    np.savez(tmp_path / "turned.npz", **{name: np.asfortranarray(array) for name, array in wanted.items()})
    given = stacked(read(tmp_path / "turned.npz", sums))
    assert all(np.array_equal(given[name], wanted[name]) for name in wanted)


def test_what_a_file_claims_to_hold_is_not_allocated(sums: Bundle, tmp_path: Path) -> None:
    """Zeros pack a thousandfold, and a header can claim any length."""
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, dtype, shape in (("values", "<f4", (2**40, 2, 5)), ("steps", "<i4", (2**40, 2))):
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(4_000_000))
    tracemalloc.start()
    assert len(read(tmp_path / "bomb.npz", sums, max_frames=1000)) == 1000
    with pytest.raises(VideoError, match="an array ends too soon"):
        for _ in frames_of(tmp_path / "bomb.npz", sums):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000


def frames_of(path: Path, bundle: Bundle) -> Iterator[object]:
    with open_source(path, manifest_of(bundle)) as source:
        yield from source


def test_options_that_arrays_do_not_have(sums: Bundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", **stacked(numbers(2)))  # type: ignore[arg-type]
    with (
        pytest.raises(UsageError, match="leave stream 0 out"),
        open_source(InputFile(tmp_path / "inputs.npz", stream=0), manifest_of(sums)),
    ):
        pass
    with pytest.raises(UsageError, match=f"max_frames is {10**30}"):
        read(tmp_path / "inputs.npz", sums, max_frames=10**30)


def test_a_file_without_frames_is_empty(sums: Bundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz", values=np.zeros((0, 2, 5), np.float32), steps=np.zeros((0, 2), np.int32))
    assert read(tmp_path / "none.npz", sums) == []


def saved(**arrays: object) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)  # type: ignore[arg-type]


VALUES, STEPS = np.zeros((3, 2, 5), np.float32), np.zeros((3, 2), np.int32)


def truncated(path: Path) -> None:
    np.savez(path, values=VALUES, steps=STEPS)
    path.write_bytes(path.read_bytes()[:-40])


def single_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, VALUES)


def damaged(path: Path) -> None:
    np.savez_compressed(path, values=np.arange(30, dtype=np.float32).reshape(3, 2, 5), steps=STEPS)
    content = bytearray(path.read_bytes())
    begin = content.index(b"values.npy") + 60
    content[begin : begin + 20] = bytes(20)
    path.write_bytes(content)


def other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("values.npy", b"not an array")
        archive.writestr("steps.npy", b"")


@pytest.mark.parametrize(
    ("write", "kind", "message"),
    [
        (lambda path: None, VideoError, "no such file"),
        (lambda path: path.write_text("values: 3\n"), VideoError, "cannot be read as a file of numpy arrays"),
        (lambda path: path.write_bytes(b""), VideoError, "cannot be read as a file of numpy arrays"),
        (lambda path: path.mkdir(), VideoError, "cannot read the file of arrays .* not a regular file"),
        (os.mkfifo, VideoError, "cannot read the file of arrays .* not a regular file"),
        (truncated, VideoError, "cannot be read as a file of numpy arrays"),
        (damaged, VideoError, "cannot be read as a file of numpy arrays"),
        (single_array, VideoError, "cannot be read as a file of numpy arrays"),
        (other_archive, VideoError, "cannot be read as a file of numpy arrays"),
        (saved(values=np.array([{"a": 1}, print], object), steps=STEPS), VideoError, "cannot be read .*allow_pickle"),
        (
            saved(values=VALUES),
            UsageError,
            r"holds values; the model takes values \(float32 \[2, 5\]\), steps \(int32 ",
        ),
        (saved(values=VALUES, steps=STEPS, more=STEPS), UsageError, "holds more, steps, values"),
        (saved(), UsageError, "holds nothing"),
        (
            saved(values=VALUES.astype(float), steps=STEPS),
            UsageError,
            r"values is float64 .* must be float32 \[frames, 2",
        ),
        (saved(values=VALUES[0], steps=STEPS), UsageError, r"values is float32 \[2, 5\]; it must be float32 \[frames"),
        (saved(values=VALUES, steps=np.int32(3)), UsageError, r"steps is int32 \[\]; it must be int32 \[frames, 2\]"),
        (saved(values=VALUES[:2], steps=STEPS), UsageError, "differ in length: .*2.*3"),
    ],
)
def test_files_that_do_not_fit_are_named(
    write: Callable[[Path], None], kind: type[VppDeployError], message: str, sums: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "inputs.npz"
    write(path)
    with pytest.raises(kind, match=message) as caught:
        read(path, sums)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_video_feeds_a_model_of_pictures(memory: Bundle, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=5)
    frames = read(path, memory)
    assert [(frame["frame"].shape, frame["frame"].dtype) for frame in frames] == [((1, HEIGHT, WIDTH, 3), np.uint8)] * 5
    red = frames[0]["frame"][0, 3, 3]
    assert red[0] > 150 > red[1]
    assert len(read(path, memory, max_frames=2)) == 2


def test_arrays_feed_a_model_of_pictures_too(memory: Bundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "pictures.npz", **stacked(pictures(3)))  # type: ignore[arg-type]
    assert len(read(tmp_path / "pictures.npz", memory)) == 3


def test_a_video_is_no_use_to_a_model_of_numbers(sums: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"takes values \(float32 \[2, 5\]\), steps \(int32 \[2\]\); give an \.npz"):
        read(write_clip(tmp_path / "clip.mp4"), sums)


def test_a_video_that_is_not_there(memory: Bundle, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file"):
        read(tmp_path / "none.mp4", memory)


@pytest.mark.parametrize(
    ("dtype", "shape", "is_picture"),
    [
        ("uint8", (16, 24, 3), True),
        ("uint8", (1, 16, 24, 3), True),
        ("uint8", (2, 16, 24, 3), False),
        ("uint8", (16, 24, 4), False),
        ("float32", (16, 24, 3), False),
        ("uint8", (1, 1, 16, 24, 3), False),
        ("uint8", (3,), False),
    ],
)
def test_what_counts_as_a_picture(dtype: str, shape: tuple[int, ...], is_picture: bool, memory: Bundle) -> None:
    manifest = manifest_of(memory)
    spec = TensorSpec(name="frame", dtype=dtype, shape=shape)  # type: ignore[arg-type]
    graphs = {role: graph.model_copy(update={"inputs": (spec,)}) for role, graph in manifest.graphs.items()}
    changed = manifest.model_copy(update={"graphs": graphs})
    assert (picture_input(changed) is not None) == is_picture
