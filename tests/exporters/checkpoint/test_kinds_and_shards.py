"""What a file is, whatever its name; and checkpoints in several files."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import onnx
import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper

from tests.exporters.checkpoint import files
from vpp_deploy.bundle.manifest import WeightsProvenance
from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint import (
    CheckpointFile,
    checkpoint_record,
    fingerprint,
    read_checkpoint,
    read_safetensors,
)


@pytest.mark.parametrize("name", ["a.bin", "a.pth", "a.pt", "a.ckpt", "a.SAFETENSORS", "a.safetensors", "a", "a.json"])
@pytest.mark.parametrize("form", [*files.FORMATS, "safetensors"])
def test_the_name_says_nothing(form: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if form == "safetensors":
        safetensors.torch.save_file(files.state(), path)
    else:
        files.save(files.state(), path, form)
    found, expected = read_checkpoint(path), files.state()
    assert files.same({key: found[key] for key in expected}, expected)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (POINTER, "git lfs pull"),
        (b"\n<!DOCTYPE html><html>Sign in", "web page"),
        (b'{"error": "not found"}', "JSON"),
        (b"[1, 2]", "JSON"),
        (b"{broken", "is not JSON"),
        (b"[" * 100_000, "index of shards"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"<!-- login --><!DOCTYPE html>", "web page"),
        (b"Entry not found\n", "begins with 'Entry not found'"),
        (b"\x01\xfe not a checkpoint" * 50, "garbage"),
        (b"\x05\0\0\0\0\0\0\0{", "safetensors"),
        ((10**6).to_bytes(8, "little") + b'{"a":', "cut short"),
        ((50).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'[:50], "safetensors"),
        (b"PK\3\4" + b"\0" * 100, "cut short"),
        (b"PK\5\6" + b"\0" * 18, "zip file without weights"),
        (b"\x80\x02]q\0.", "plain pickle"),
    ],
)
def test_what_is_no_checkpoint_is_named(content: bytes, word: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    assert word in files.refusal(path)


def test_an_onnx_model_is_named(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [out])
    onnx.save(helper.make_model(graph, producer_name="pytorch"), tmp_path / "x.pth")
    assert "ONNX" in files.refusal(tmp_path / "x.pth")


@pytest.fixture(params=["safetensors", "bin"])
def sharded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a checkpoint in three files, as transformers writes it."""
    stem = "model" if request.param == "safetensors" else "pytorch_model"
    tensors, names = list(files.state().items()), {}
    for number in range(3):
        shard = f"{stem}-{number + 1:05}-of-00003.{request.param}"
        part = dict(tensors[number::3])
        names.update(dict.fromkeys(part, shard))
        if request.param == "safetensors":
            safetensors.torch.save_file(part, tmp_path / shard)
        else:
            torch.save(part, tmp_path / shard)
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (tmp_path / f"{stem}.{request.param}.index.json").write_text(json.dumps(index))
    return tmp_path


def index_of(folder: Path) -> Path:
    return next(folder.glob("*.index.json"))


def test_shards_are_read_whole_by_folder_index_or_any_of_them(sharded: Path) -> None:
    expected, prints = files.state(), set()
    for path in (sharded, *sharded.iterdir()):
        notes: list[str] = []
        found = read_checkpoint(CheckpointFile(path, note=notes.append))
        assert files.same({key: found[key] for key in expected}, expected)
        assert len(found) == len(expected)
        assert "all 3 of its files" in "".join(notes)
        prints.add(fingerprint(path))
    assert len(prints) == 1


def test_shards_without_an_index_are_read_if_all_are_there(sharded: Path) -> None:
    index_of(sharded).unlink()
    shard = max(sharded.iterdir())
    assert read_checkpoint(shard).keys() == files.state().keys()
    min(sharded.iterdir()).unlink()
    message = files.refusal(shard)
    assert "shard 3 of 3" in message
    assert "00001-of-00003" in message


def test_incomplete_and_foreign_indexes(sharded: Path, tmp_path: Path) -> None:
    index = index_of(sharded)
    content = json.loads(index.read_text())
    for name in ("../x", "/etc/passwd", "", 3, ".."):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        assert "outside its folder" in files.refusal(sharded)
    content["weight_map"]["absent"] = next(iter(content["weight_map"].values()))
    index.write_text(json.dumps(content))
    assert "lacks 1 tensors that the index says are in it: absent" in files.refusal(sharded)
    del content["weight_map"]["absent"]
    index.write_text(json.dumps(content))
    min(path for path in sharded.iterdir() if "-of-" in path.name).unlink()
    assert "1 are missing" in files.refusal(sharded)


def test_folders(tmp_path: Path) -> None:
    assert "folder without model.safetensors.index.json" in files.refusal(tmp_path)
    torch.save(files.state(), tmp_path / "pytorch_model.bin")
    assert files.same(read_checkpoint(tmp_path), files.state())


def test_a_bundles_weights_are_one_safetensors_file(sharded: Path) -> None:
    """An index in its place would lead to files that the manifest does not list."""
    for path in (index_of(sharded), sharded):
        with pytest.raises(CheckpointError, match="not a"):
            read_safetensors(path)
    torch.save(files.state(), sharded / "weights.safetensors")
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        read_safetensors(sharded / "weights.safetensors")


@pytest.mark.parametrize("form", ["zip", "safetensors"])
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.pth", r"caf\xe9.pth"),
        (b"two\nlines.pth", r"two\nlines.pth"),
        ("one\u2028two.pth".encode(), r"one\u2028two.pth"),
        (b"\x1b[31mred.pth", r"\x1b[31mred.pth"),
        ("schön 🙂.pth".encode(), "schön 🙂.pth"),
    ],
)
def test_names_of_any_bytes(name: bytes, shown: str, form: str, tmp_path: Path) -> None:
    weights = {"a.weight": torch.ones(2, 2)}
    (folder := tmp_path / os.fsdecode(name)).mkdir()
    data = io.BytesIO()
    if form == "zip":
        torch.save(weights, data)
    else:
        data.write(safetensors.torch.save(weights))
    for path in (folder / os.fsdecode(name), folder / "model.safetensors"):
        path.write_bytes(data.getvalue())
        assert torch.equal(read_checkpoint(path)["a.weight"], weights["a.weight"])
    assert torch.equal(read_checkpoint(folder)["a.weight"], weights["a.weight"])
    record = checkpoint_record(folder / os.fsdecode(name))
    assert record.name == checkpoint_record(folder).name == shown
    assert WeightsProvenance.model_validate_json(record.model_dump_json()) == record
