import json
import os
import stat
from pathlib import Path

import pytest

from tests.bundle.factory import fill, make_bundle, manifest
from vpp_deploy.bundle import Bundle, BundleWriter, sha256_of_bytes, sha256_of_file
from vpp_deploy.errors import OutputError
from vpp_deploy.files import atomic


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_recorded_with_size_and_hash(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "b") as writer:
        fill(writer.folder)
        (writer.folder / "licences").mkdir()
        (writer.folder / "licences" / "weights.txt").write_bytes(b"free")
        bundle = writer.commit(manifest)

    files = bundle.manifest.files
    assert sorted(files) == ["init.onnx", "licences/weights.txt", "step.onnx", "weights.safetensors"]
    for name, record in files.items():
        content = (bundle.path / name).read_bytes()
        assert (record.bytes, record.sha256) == (len(content), sha256_of_bytes(content))
        assert record.sha256 == sha256_of_file(bundle.path / name)
    assert os.listdir(tmp_path) == ["b"]
    assert Bundle.open(tmp_path / "b") == bundle


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    assert contents(make_bundle(tmp_path / "one").path) == contents(make_bundle(tmp_path / "two").path)


def test_the_folder_has_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    make_bundle(tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    (tmp_path / "plain.txt").write_text("")
    for path in (tmp_path / "b").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain.txt").stat().st_mode)


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with BundleWriter(tmp_path / "b") as writer:
            fill(writer.folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_leaving_without_commit_leaves_nothing(tmp_path: Path) -> None:
    with BundleWriter(tmp_path / "b") as writer:
        fill(writer.folder)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device")
def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    def write() -> None:
        with BundleWriter(tmp_path / "b") as writer:
            (writer.folder / "step.onnx").symlink_to("/dev/full")
            (writer.folder / "step.onnx").write_bytes(b"x" * 9999)

    with pytest.raises(OutputError, match=r"cannot write the bundle .*: No space left on device"):
        write()
    assert os.listdir(tmp_path) == []


def test_a_manifest_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with BundleWriter(tmp_path / "b") as writer:
            (writer.folder / "step.onnx").write_bytes(b"")
            writer.commit(manifest)

    with pytest.raises(ValueError, match=r"'weights\.safetensors' is used but has no size and hash"):
        write()
    assert os.listdir(tmp_path) == []


def test_an_existing_target_is_not_touched_without_overwrite(tmp_path: Path) -> None:
    before = contents(make_bundle(tmp_path / "b").path)
    with pytest.raises(OutputError, match="exists already"):
        make_bundle(tmp_path / "b", seed=1)
    assert contents(tmp_path / "b") == before


def test_overwrite_replaces_the_whole_bundle(tmp_path: Path) -> None:
    old = make_bundle(tmp_path / "b")
    engine = old.path / "engines" / "onnxruntime"
    engine.mkdir(parents=True)
    (engine / "init.onnx").write_bytes(b"")
    (engine / "engine.json").write_text(json.dumps({"files": {"init.onnx": {}}}))
    (old.path / "parity").mkdir()
    (old.path / "parity" / "onnxruntime.json").write_text(json.dumps({"passed": True}))

    new = make_bundle(tmp_path / "b", seed=1, overwrite=True)

    assert not (new.path / "engines").exists()
    assert Bundle.open(tmp_path / "b") == new != old
    assert os.listdir(tmp_path) == ["b"]


FOREIGN = (
    "thesis.txt",
    "chapters/one.txt",
    "engines/thesis.txt",
    "engines/onnxruntime/thesis.txt",
    "engines/onnxruntime/engine.json",
    "parity/thesis.txt",
    "parity/thesis.json",
    ".hidden",
)


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_overwrite_removes_nothing_that_is_not_the_bundles(tmp_path: Path, name: str, kind: str) -> None:
    bundle = make_bundle(tmp_path / "b").path
    (tmp_path / "elsewhere").mkdir()
    other = bundle / name
    other.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        other.write_text("ten years of work")
    elif kind == "link":
        other.symlink_to(tmp_path / "elsewhere")
    else:
        other.mkdir()
    with pytest.raises(OutputError, match=f"holds more than a bundle \\({name.split('/')[0]}"):
        make_bundle(bundle, seed=1, overwrite=True)
    assert os.path.lexists(other)
    assert sorted(os.listdir(tmp_path)) == ["b", "elsewhere"]


def test_a_name_that_is_not_utf8_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not UTF-8"):
        BundleWriter(tmp_path / os.fsdecode(b"\xff.bundle")).__enter__()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("length", [236, 255])
def test_the_longest_names(tmp_path: Path, length: int) -> None:
    name = "n" * length
    for seed in range(2):
        make_bundle(tmp_path / name, seed=seed, overwrite=True)
    assert os.listdir(tmp_path) == [name]


def test_overwrite_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b")
    (tmp_path / "link").symlink_to("b")
    new = make_bundle(tmp_path / "link", seed=1, overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "b") == contents(new.path)
    assert sorted(os.listdir(tmp_path)) == ["b", "link"]


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file"])
def test_overwrite_refuses_what_is_not_a_bundle(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "thesis"
    if kind == "file":
        target.write_text("ten years of work")
    else:
        target.mkdir()
    if kind == "folder":
        (target / "chapter.txt").write_text("ten years of work")
    with pytest.raises(OutputError, match="is not a bundle, so it is not overwritten"):
        make_bundle(target, overwrite=True)
    assert target.exists()
    assert os.listdir(tmp_path) == ["thesis"]


def test_a_failure_while_overwriting_keeps_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make_bundle(tmp_path / "b")
    rename = os.rename
    monkeypatch.setattr(atomic, "_renameat2", lambda: None)  # a system that cannot exchange two names

    def fails_for_the_new_bundle(source: Path, destination: Path) -> None:
        if (source / "new").exists():
            raise OSError(28, "No space left on device")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", fails_for_the_new_bundle)

    def overwrite() -> None:
        with BundleWriter(tmp_path / "b", overwrite=True) as writer:
            fill(writer.folder, seed=1)
            (writer.folder / "new").write_bytes(b"")
            writer.commit(manifest)

    with pytest.raises(OutputError, match="No space left on device"):
        overwrite()
    assert Bundle.open(tmp_path / "b") == old
    assert os.listdir(tmp_path) == ["b"]


def test_a_target_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def race() -> None:
        with BundleWriter(tmp_path / "b") as writer:
            fill(writer.folder)
            make_bundle(tmp_path / "b", seed=1)
            writer.commit(manifest)

    with pytest.raises(OutputError, match="exists already"):
        race()
    assert contents(tmp_path / "b") == contents(make_bundle(tmp_path / "expected", seed=1).path)


@pytest.mark.parametrize("target", ["nowhere/b", "file/b", "n" * 300], ids=["no parent", "parent is a file", "name"])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write the bundle|is not a folder that exists"):
        BundleWriter(tmp_path / target).__enter__()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_parent_is_refused_before_any_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        BundleWriter(tmp_path / "b").__enter__()
