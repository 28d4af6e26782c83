"""Files of torch.save: both formats, views and types of number as PyTorch reads them, damage, and bombs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.exporters.checkpoint import files
from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import pytorch, read_checkpoint


def views() -> dict[str, Tensor]:
    base = torch.arange(60, dtype=torch.float32)
    shared = base.view(5, 12)
    return {
        "whole": base,
        "view": shared,
        "transposed": shared.t(),
        "slice": shared[1:4, 2::3],
        "scalar": base[7],
        "empty": torch.empty(0, 3),
        "empty_view": base[3:3],
        "apart": torch.randn(4, 4)[1:],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        **{
            str(dtype): torch.tensor([1, 0, 3]).to(dtype)
            for dtype in (
                torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int16, torch.int32,
                torch.int64, torch.bool, torch.complex64, torch.complex128, torch.uint16, torch.float8_e4m3fn,
            )
        },
    }  # fmt: skip


@pytest.mark.parametrize("form", files.FORMATS)
def test_tensors_are_those_that_were_saved(form: str, tmp_path: Path) -> None:
    expected = views()
    found = read_checkpoint(files.save(expected, tmp_path / "x.pt", form))
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert found[name].tolist() == tensor.detach().tolist(), name
    assert found["view"].untyped_storage().data_ptr() == found["whole"].untyped_storage().data_ptr()


def test_a_small_view_of_a_large_storage_copies_only_itself(tmp_path: Path) -> None:
    large = torch.arange(1 << 20, dtype=torch.float32)
    for form in files.FORMATS:
        found = read_checkpoint(files.save({"x": large[5000:5010]}, tmp_path / "x.pt", form))
        assert torch.equal(found["x"], large[5000:5010])
        assert found["x"].untyped_storage().nbytes() < 100


def test_a_file_without_checksums_and_a_packed_one(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        bare = files.save(files.state(), tmp_path / "bare.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    packed = files.repacked(files.save(files.state(), tmp_path / "packed.pt"), method=zipfile.ZIP_DEFLATED)
    assert files.same(read_checkpoint(bare), files.state())
    assert files.same(read_checkpoint(packed), files.state())


def test_big_endian_numbers(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(5), "b": torch.arange(3), "c": torch.randn(2, 2).half()}
    path = files.save(tensors, tmp_path / "x.pt")
    with zipfile.ZipFile(path) as archive:
        sizes = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist() if "/data/" in name}
    swapped = {
        f"data/{key}": b"".join(data[i : i + size][::-1] for i in range(0, len(data), size))
        for (key, data), size in zip(sorted(sizes.items()), (4, 8, 2), strict=True)
    }
    assert files.same(read_checkpoint(files.repacked(path, {"byteorder": b"big", **swapped})), tensors)


def odd_tensors() -> dict[str, tuple[Any, str]]:
    plain = torch.randn(4, 4)
    return {
        "sparse": (plain.to_sparse(), "sparse"),
        "sparse_csr": (plain.to_sparse_csr(), "sparse"),
        "quantised": (torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8), "quantised"),
        "per_channel": (
            torch.quantize_per_channel(plain, torch.ones(4), torch.zeros(4, dtype=torch.int), 0, torch.qint8),
            "quantised",
        ),
        "meta": (torch.empty(4, 4, device="meta"), "meta"),
        "expanded": (torch.ones(4, 1).expand(4, 4), "expanded"),
        "stride_0": (torch.ones(1).expand(1 << 40), "expanded"),
        "overlapping": (torch.arange(10.0).unfold(0, 4, 1), "overlapping"),
        "conjugate": (torch.randn(3, dtype=torch.cfloat).conj(), "conjugate"),
        "nested": (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
    }


KINDS = (
    "sparse", "sparse_csr", "quantised", "per_channel", "meta", "expanded", "stride_0", "overlapping", "conjugate",
    "nested",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", files.FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_that_are_no_plain_weights_are_refused_by_name(kind: str, form: str, tmp_path: Path) -> None:
    tensor, word = odd_tensors()[kind]
    path = files.save({"state_dict": {**files.state(), "head.weight": tensor}}, tmp_path / "x.pth", form)
    message = files.refusal(path)
    assert "head.weight is " in message
    assert word in message
    beside = files.save({"state_dict": files.state(), "odd": {"x": tensor}}, tmp_path / "y.pth", form)
    assert files.same(read_checkpoint(beside), files.state())


@pytest.mark.parametrize("form", files.FORMATS)
def test_every_cut_and_every_flipped_byte_of_the_numbers_is_noticed_or_harmless(form: str, tmp_path: Path) -> None:
    path = files.save(files.state(), tmp_path / "x.pt", form)
    data = path.read_bytes()
    for length in range(1, len(data), 97):
        path.write_bytes(data[:length])
        files.refusal(path)


def test_damaged_numbers_are_noticed(tmp_path: Path) -> None:
    path = files.save({"x": torch.zeros(1000)}, tmp_path / "x.pt")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.getinfo("x/data/0").header_offset + 500] ^= 1
    path.write_bytes(data)
    assert "checksum" in files.refusal(path)


def test_a_tensor_beyond_its_numbers(tmp_path: Path) -> None:
    path = files.save({"x": torch.zeros(8)}, tmp_path / "x.pt")
    files.repacked(path, {"data/0": bytes(28)})
    assert "beyond its numbers" in files.refusal(path)


def test_whole_models_programs_and_plain_pickles_are_named(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    assert "whole model of the class torch.nn.modules.linear.Linear" in files.refusal(
        files.save(model, tmp_path / "a.pt")
    )
    assert "model is a whole model" in files.refusal(files.save({"model": model}, tmp_path / "b.pt"))
    torch.jit.save(torch.jit.trace(model, torch.ones(1, 2)), str(tmp_path / "c.pt"))
    assert "TorchScript" in files.refusal(tmp_path / "c.pt")
    (tmp_path / "d.pt").write_bytes(b"\x80\x04}.")
    assert "plain pickle" in files.refusal(tmp_path / "d.pt")
    with tarfile.open(tmp_path / "e.pt", "w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"), io.BytesIO())
    assert "before 0.2" in files.refusal(tmp_path / "e.pt")
    with zipfile.ZipFile(tmp_path / "f.pt", "w") as archive:
        archive.writestr("a.npy", b"")
    assert "npz" in files.refusal(tmp_path / "f.pt")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path / "pipe.pth", Path("/dev/zero"), Path("/dev/null")):
        assert "not a regular file" in files.refusal(path)
    assert "no such file" in files.refusal(tmp_path / "none.pth")
    assert "no such file" in files.refusal(tmp_path / "pipe.pth" / "x")


BOMB = """
import sys
from pathlib import Path
from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import read_checkpoint
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before = peak()
try:
    read_checkpoint(Path(sys.argv[1]))
except CheckpointError as error:
    print(error)
print(before, peak())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory through /proc")
@pytest.mark.parametrize("bomb", ["pickle", "storage", "dictionaries", "lists"])
def test_bombs(bomb: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    names = {"pickle": ["x/data.pkl"], "storage": [f"x/data/{number}" for number in range(3)]}.get(bomb, [])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in names:
            with archive.open(name, "w", force_zip64=True) as entry:
                for _ in range(600 // len(names)):
                    entry.write(bytes(1 << 20))
        if not names:
            archive.writestr("x/data.pkl", (b"}" if bomb == "dictionaries" else b"]") * (60 << 20))
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", BOMB, str(path)], capture_output=True, text=True, timeout=100)
    (message, memory) = done.stdout.strip().splitlines()
    before, peak = map(int, memory.split())  # kB
    assert "bomb.pth" in message
    assert peak < 1_000_000
    assert peak - before < 500_000
    assert time.monotonic() - started < 40


def test_a_long_list_of_entries_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch, "MAX_DIRECTORY", 100)
    assert "far more entries" in files.refusal(files.save(files.state(), tmp_path / "x.pt"))


def test_a_bomb_is_bounded_by_the_file_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.repacked(files.save({"x": torch.zeros(100_000)}, tmp_path / "x.pt"), method=zipfile.ZIP_DEFLATED)
    assert read_checkpoint(path)["x"].shape == (100_000,)
    monkeypatch.setattr(pytorch, "UNPACKED_FLOOR", 1000)
    assert "unpacks to" in files.refusal(path)


def test_files_are_closed_and_threads_do_not_matter(tmp_path: Path) -> None:
    path = files.save(files.state(), tmp_path / "x.pt")
    before = len(os.listdir("/proc/self/fd"))
    threads = [threading.Thread(target=read_checkpoint, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_zip_file_packed_with_backslashes(tmp_path: Path) -> None:
    path = files.save(files.state(), tmp_path / "x.pth")
    packed = tmp_path / "windows.pth"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w") as target:
        for entry in source.infolist():
            renamed = zipfile.ZipInfo("x")
            renamed.filename = entry.filename.replace("/", "\\")
            target.writestr(renamed, source.read(entry))
    assert files.same(read_checkpoint(packed), files.state())


def test_a_path_with_backslashes_is_told_how_to_write_it() -> None:
    with pytest.raises(CheckpointError, match="no such file; its name has backslashes: write folders with /"):
        read_checkpoint(Path(r"weights\no_such.pth"))
