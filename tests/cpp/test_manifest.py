"""The C++ reader accepts and refuses the same bundles as the Python reader, and names the same fields."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.factory import make_bundle
from tests.cpp.runtime import Runtime
from vpp_deploy.bundle import SCHEMA_VERSION, Bundle, sha256_of_bytes
from vpp_deploy.errors import BundleError

Content = dict[str, Any]
NOT_KEPT = {"model": {"config"}, "provenance": {"weights": {"sha256", "seed"}, "proposal_weights": True}}
NOT_KEPT |= {"preprocessing": {"resize", "interpolation", "colour"}, "state": {"__all__": {"initial"}}}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny.bundle")


def content_of(bundle: Bundle) -> Content:
    return json.loads((bundle.path / "manifest.json").read_text())


def python_reads(path: Path, verify: bool = True) -> Bundle | str:
    """The bundle, or why it is refused."""
    try:
        return Bundle.open(path, verify=verify)
    except BundleError as error:
        return str(error)


def check(runtime: Runtime, paths: list[Path], verify: bool = True) -> list[str]:
    """Both readers agree; gives the messages of the C++ reader, "" for what it accepts."""
    results = runtime.run("manifest", [{"path": str(path), "verify": verify} for path in paths])
    messages = []
    for path, ours in zip(paths, results, strict=True):
        expected = python_reads(path, verify)
        message = ours.get("message", "")
        messages.append(message)
        assert "\n" not in message
        if isinstance(expected, str):
            assert ours.get("error") == "BundleError", f"Python refuses {path}: {expected}"
            assert same_field(field_of(expected, path), field_of(message, path)), f"{expected} | {message}"
        else:
            assert not message, f"Python accepts {path}"
            kept = expected.manifest.model_dump(mode="json", exclude=NOT_KEPT)
            assert ours["manifest"] == kept
            assert ours["weights"] == str(expected.weights_path)
    return messages


def same_field(python: str, ours: str) -> bool:
    """Of a list that is too short, Python names the first item that is missing, C++ the list."""
    python = python.removesuffix(".[key]")
    return python == ours or (python.startswith(f"{ours}.") and python.rpartition(".")[2].isdigit())


def field_of(message: str, path: Path) -> str:
    """The path of the broken field: `….json: FIELD: problem`; "" for what is not about a field."""
    start = f"{path / 'manifest.json'}: "
    field, separator, _ = message.removeprefix(start).partition(": ")
    return field if separator and message.startswith(start) else ""


def variants(bundle: Bundle, folder: Path, contents: list[Content | bytes]) -> list[Path]:
    """Copies of a bundle, one for each manifest, with links to the files of the first."""
    paths = []
    for n, content in enumerate(contents):
        path = folder / str(n)
        path.mkdir()
        for file in bundle.path.iterdir():
            if file.name != "manifest.json":
                os.link(file, path / file.name)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (path / "manifest.json").write_bytes(data)
        paths.append(path)
    return paths


def edited(bundle: Bundle, place: tuple[str | int, ...], change: Callable[[Any, Any], object]) -> Content:
    content = content_of(bundle)
    parent: Any = content
    for name in place[:-1]:
        parent = parent[name]
    change(parent, place[-1])
    return content


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of everything in a document, except inside the model's configuration."""
    if path == ("model", "config"):
        return [path]
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for name, item in items for inner in places(item, (*path, name)))]


def remove(parent: Any, name: Any) -> None:
    del parent[name]


def replace_by(value: Any) -> Callable[[Any, Any], None]:
    def change(parent: Any, name: Any) -> None:
        parent[name] = copy.deepcopy(value)

    return change


def test_valid_bundles(runtime: Runtime, bundle: Bundle, micro_bundle: Bundle, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(bundle.path)
    assert check(runtime, [bundle.path, micro_bundle.path, link]) == ["", "", ""]
    assert check(runtime, [bundle.path], verify=False) == [""]


@pytest.mark.parametrize("value", [None, [], {}, -1], ids=str)
def test_every_field_in_turn_with_a_value_of_another_kind(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, value: Any
) -> None:
    all_places = places(content_of(bundle))[1:]
    paths = variants(bundle, tmp_path, [edited(bundle, place, replace_by(value)) for place in all_places])
    messages = check(runtime, paths)
    assert sum(map(bool, messages)) > len(messages) // 2


def test_every_field_in_turn_removed(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    all_places = [place for place in places(content_of(bundle)) if place and isinstance(place[-1], str)]
    check(runtime, variants(bundle, tmp_path, [edited(bundle, place, remove) for place in all_places]))


def test_an_unknown_field_anywhere(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    def add(parent: Any, name: Any) -> None:
        parent[name]["surprise"] = 1

    content = content_of(bundle)
    objects = [place for place in places(content) if place and isinstance(value_at(content, place), dict)]
    messages = check(runtime, variants(bundle, tmp_path, [edited(bundle, place, add) for place in objects]))
    accepted = [place for place, message in zip(objects, messages, strict=True) if not message]
    assert accepted == [("model", "config")]


def value_at(content: Any, place: tuple[str | int, ...]) -> Any:
    for name in place:
        content = content[name]
    return content


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("schema_version", 0),
        ("schema_version", 1),
        ("schema_version", 1.5),
        ("schema_version", "1"),
        ("schema_version", SCHEMA_VERSION + 1),
        ("precision", "bfloat16"),
        ("precision", "int8"),
        ("patch_size", 0),
        ("patch_size", 16.0),
        ("patch_size", 16.5),
        ("frame_size", [32]),
        ("frame_size", [32, 48, 1]),
        ("class_names", ["é", "\u4e2d", "\U0001f600", ""]),
        ("class_names", "abc"),
        ("preprocessing.mean", [1, 2]),
        ("preprocessing.resize", "squash"),
        ("preprocessing.colour", "BGR"),
        ("tracker.new_score", 0),
        ("tracker.new_score", 1),
        ("tracker.new_score", 1.001),
        ("tracker.max_age", 0),
        ("detection.max_tracks", 0),
        ("selection_points", []),
        ("selection_points.0.block", 0),
        ("selection_points.0.keep_ratio", 0),
        ("selection_points.0.keep_ratio", 1.5),
        ("selection_points.0.phases", ["init", "init"]),
        ("selection_points.0.phases", ["last"]),
        ("graphs.init.inputs.0.dtype", "int4"),
        ("graphs.init.inputs.0.shape", [1, 0]),
        ("graphs.init.file", "elsewhere.onnx"),
        ("weights_file", "elsewhere"),
        ("state", []),
        ("state.0.initial", "zeros"),
        ("state.0.input", "z"),
        ("model.family", "yolo"),
        ("model.config", {"anything": [1, {"deep": None}]}),
        ("provenance.weights.kind", "pretrained"),
        ("provenance.weights.kind", "stolen"),
        ("provenance.weights.seed", -3),
        ("files", {}),
        ("files.step.onnx", {"bytes": 1, "sha256": "0" * 64}),
        ("files.step.onnx", {"bytes": 1, "sha256": "0" * 64 + "\n"}),
        ("files.step.onnx", {"bytes": 1, "sha256": "A" * 64}),
    ],
)
def test_a_value(runtime: Runtime, bundle: Bundle, tmp_path: Path, place: str, value: Any) -> None:
    head, separator, file = place.partition("files.")
    names = [part for part in head.split(".") if part] + (["files", file] if separator else [])
    steps = tuple(int(name) if name.isdigit() else name for name in names)
    check(runtime, variants(bundle, tmp_path, [edited(bundle, steps, replace_by(value))]))


def test_the_other_order_of_the_states(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    content = content_of(bundle)
    content["state"].reverse()
    (message,) = check(runtime, variants(bundle, tmp_path, [content]))
    assert "state: input and output names must sort" in message


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"[]", b"null", b"3", b'{"files": {}}', b"\xff\xfe{}"])
def test_what_is_not_a_manifest(runtime: Runtime, bundle: Bundle, tmp_path: Path, content: bytes) -> None:
    assert all(check(runtime, variants(bundle, tmp_path, [content])))


def test_numbers_in_words_and_truth_values_are_refused_here_only(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    """Python's validation would convert them. No exporter writes them."""
    contents = [edited(bundle, ("patch_size",), replace_by(value)) for value in ("16", True)]
    for result in runtime.run("manifest", [{"path": str(path)} for path in variants(bundle, tmp_path, contents)]):
        assert "manifest.json: patch_size: should be a whole number, got " in result["message"]


def test_version_2_is_read_and_other_families_are_refused_by_name(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    second = content_of(bundle) | {"schema_version": 2}
    other = copy.deepcopy(second)
    other["model"]["family"] = "papr"
    for name in ("detection", "tracker", "token_grid"):
        del other[name]
    paths = variants(bundle, tmp_path, [second, other])
    read, refused = runtime.run("manifest", [{"path": str(path)} for path in paths])
    assert read["manifest"]["schema_version"] == 2
    assert "model.family: 'papr' is not a family that this library runs" in refused["message"]


def test_no_bundle(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    paths = [tmp_path / "nothing", tmp_path / ("n" * 300), tmp_path / "file", tmp_path / "empty"]
    messages = check(runtime, paths)
    expected = ["does not exist", "does not exist", "is not a folder", "has no manifest.json"]
    for path, message, problem in zip(paths, messages, expected, strict=True):
        assert message.startswith(f"bundle {path} {problem}: give the folder")


@pytest.mark.parametrize("verify", [True, False])
def test_damaged_files(runtime: Runtime, tmp_path: Path, verify: bool) -> None:
    missing, folder, short, altered = (make_bundle(tmp_path / str(n)) for n in range(4))
    missing.graph_path("step").unlink()
    folder.graph_path("step").unlink()
    folder.graph_path("step").mkdir()
    os.truncate(short.weights_path, 100)
    content = bytearray(altered.weights_path.read_bytes())
    content[-1] ^= 1
    altered.weights_path.write_bytes(content)
    messages = check(runtime, [missing.path, folder.path, short.path, altered.path], verify)
    assert "file 'step.onnx' is missing" in messages[0]
    assert "file 'step.onnx' is missing" in messages[1]
    assert "has 100 bytes" in messages[2]
    assert ("was altered" in messages[3]) == verify


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../secret",
            "sub/../../secret",
            "..\\secret",
            "C:\\secret",
            "C:secret",
            "\\secret",
            "/etc/hostname",
            "//a/b",
        ),
        *("", ".", "..", "nul\0byte", "n" * 5000, "\udcff", "new\nline", "step.onnx/..", "no such file"),
        *("link_out", "folder_out/secret", "loop", "dangling"),
        *("step.onnx", "./step.onnx", "step.onnx/", "step.onnx/.", ".//step.onnx", "alias", "folder/graph", "...x"),
    ],
)
def test_names_of_files(runtime: Runtime, tmp_path: Path, name: str) -> None:
    bundle = make_bundle(tmp_path / "tiny.bundle")
    (tmp_path / "outside").mkdir()
    content = bundle.graph_path("step").read_bytes()
    for place in (tmp_path / "outside" / "secret", tmp_path / "secret", bundle.path / "...x"):
        place.write_bytes(content)
    (bundle.path / "sub").mkdir()
    (bundle.path / "folder").mkdir()
    (bundle.path / "folder" / "graph").write_bytes(content)
    links = {"link_out": "../secret", "folder_out": "../outside", "loop": "loop", "alias": "step.onnx"}
    for link, target in (links | {"dangling": "../nothing"}).items():
        (bundle.path / link).symlink_to(target)
    manifest = content_of(bundle)
    manifest["files"][name] = {"bytes": len(content), "sha256": sha256_of_bytes(content)}
    (bundle.path / "manifest.json").write_text(json.dumps(manifest))
    (message,) = check(runtime, [bundle.path])
    assert len(message) < 1000
    expected = python_reads(bundle.path)
    if isinstance(expected, str) and "lies outside" in expected and name != "dangling":
        assert "lies outside the folder" in message
