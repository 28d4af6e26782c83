"""The C++ reader accepts and refuses the same bundles as the Python reader, and names the same fields."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.factory import make_bundle
from tests.conftest import REPOSITORY
from tests.cpp.runtime import Runtime
from vpp_deploy.bundle import SCHEMA_VERSION, Bundle, sha256_of_bytes
from vpp_deploy.errors import BundleError

Content = dict[str, Any]
OLD = REPOSITORY / "tests" / "bundle" / "data"
VERSIONS = range(1, SCHEMA_VERSION + 1)
NOT_KEPT: dict[str, Any] = {
    "model": {"config"},
    "provenance": {"weights": {"sha256", "seed"}, "proposal_weights": True},
}
NOT_KEPT |= {"preprocessing": {"resize", "interpolation", "colour"}, "state": {"__all__": {"initial"}}}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny.bundle")


def content_of(bundle: Bundle) -> Content:
    content: Content = json.loads((bundle.path / "manifest.json").read_text())
    return content


def as_version(version: int, content: Content) -> Content:
    """What a manifest of this version said when its schema was an earlier one."""
    if version >= 3:
        return content
    content = {name: value for name, value in content.items() if name not in ("pruning_points", "blocks")} | {
        "schema_version": version,
        "model": {name: value for name, value in content["model"].items() if name != "task"},
        "selection_points": content["pruning_points"],
    }
    if version == 1:
        provenance = content["provenance"]
        content["provenance"] = {name: value for name, value in provenance.items() if name != "proposal_weights"}
    return content


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
            kept["schema_version"] = json.loads((path / "manifest.json").read_text()).get(
                "schema_version", SCHEMA_VERSION
            )
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
    if not separator or not message.startswith(start):
        return ""
    # Python names fields of earlier versions as they are called now.
    return field.replace("selection_points", "pruning_points")


def variants(bundle: Bundle, folder: Path, contents: Sequence[Content | bytes]) -> list[Path]:
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


def edited(content: Content, place: tuple[str | int, ...], change: Callable[[Any, Any], object]) -> Content:
    content = copy.deepcopy(content)
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


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("value", [None, [], {}, -1], ids=str)
def test_every_field_in_turn_with_a_value_of_another_kind(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, value: Any, version: int
) -> None:
    content = as_version(version, content_of(bundle))
    contents = [edited(content, place, replace_by(value)) for place in places(content)[1:]]
    messages = check(runtime, variants(bundle, tmp_path, contents))
    assert sum(map(bool, messages)) > len(messages) // 2


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_in_turn_removed(runtime: Runtime, bundle: Bundle, tmp_path: Path, version: int) -> None:
    content = as_version(version, content_of(bundle))
    all_places = [place for place in places(content) if place and isinstance(place[-1], str)]
    messages = check(runtime, variants(bundle, tmp_path, [edited(content, place, remove) for place in all_places]))
    assert messages[all_places.index(("model", "task" if version >= 3 else "family"))]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_field_anywhere(runtime: Runtime, bundle: Bundle, tmp_path: Path, version: int) -> None:
    def add(parent: Any, name: Any) -> None:
        parent[name]["surprise"] = 1

    content = as_version(version, content_of(bundle))
    objects = [place for place in places(content) if place and isinstance(value_at(content, place), dict)]
    messages = check(runtime, variants(bundle, tmp_path, [edited(content, place, add) for place in objects]))
    accepted = [place for place, message in zip(objects, messages, strict=True) if not message]
    assert accepted == [("model", "config")]


@pytest.mark.parametrize("version", VERSIONS)
def test_fields_of_one_version_are_unknown_to_the_others(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, version: int
) -> None:
    content = as_version(version, content_of(bundle))
    points = content["pruning_points" if version >= 3 else "selection_points"]
    contents = [content | {"blocks": 24}, content | {"pruning_points": points}, content | {"selection_points": points}]
    contents.append(content | {"model": content["model"] | {"task": "segmentation"}})
    messages = check(runtime, variants(bundle, tmp_path, contents))
    assert list(map(bool, messages)) == ([False, False, True, False] if version >= 3 else [True, True, False, True])


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
        ("schema_version", 2.0),
        ("schema_version", 3.0),
        ("schema_version", SCHEMA_VERSION + 1),
        ("precision", "bfloat16"),
        ("precision", "int8"),
        ("precision", "fp8_e4m3"),
        ("precision", ""),
        ("precision", "8bit"),
        ("precision", "Float32"),
        ("precision", "float32\n"),
        ("blocks", 24),
        ("blocks", 0),
        ("blocks", "many"),
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
        ("pruning_points", []),
        ("pruning_points.0.block", 0),
        ("pruning_points.0.keep_ratio", 0),
        ("pruning_points.0.keep_ratio", 1.5),
        ("pruning_points.0.phases", ["init", "init"]),
        ("pruning_points.0.phases", ["last"]),
        ("graphs.init.inputs.0.dtype", "int4"),
        ("graphs.init.inputs.0.shape", [1, 0]),
        ("graphs.init.file", "elsewhere.onnx"),
        ("weights_file", "elsewhere"),
        ("state", []),
        ("state.0.initial", "zeros"),
        ("state.0.input", "z"),
        ("model.family", "yolo"),
        ("model.family", ""),
        ("model.family", "papr"),
        ("model.config", {"anything": [1, {"deep": None}]}),
        ("provenance.weights.kind", "pretrained"),
        ("provenance.weights.kind", "memory"),
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
    check(runtime, variants(bundle, tmp_path, [edited(content_of(bundle), steps, replace_by(value))]))


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
    contents = [edited(content_of(bundle), ("patch_size",), replace_by(value)) for value in ("16", True)]
    for result in runtime.run("manifest", [{"path": str(path)} for path in variants(bundle, tmp_path, contents)]):
        assert "manifest.json: patch_size: should be a whole number, got " in result["message"]


def test_bundles_of_every_version(runtime: Runtime) -> None:
    paths = sorted(path for path in OLD.iterdir() if path.name.endswith("-vpp"))
    assert len(paths) == SCHEMA_VERSION
    assert check(runtime, paths) == [""] * len(paths)
    results = runtime.run("manifest", [{"path": str(path)} for path in paths])
    assert [result["manifest"]["schema_version"] for result in results] == list(VERSIONS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v2-papr", "model.family: 'papr' is for the task 'classification', which is not a task"),
        ("v3-papr", "model.task: 'classification' is not a task"),
        ("v3-tensors", "model.task: 'tensors' is not a task"),
    ],
)
def test_other_tasks_are_refused_by_name(runtime: Runtime, name: str, expected: str) -> None:
    """Nothing is wrong with these bundles: Python runs them."""
    Bundle.open(OLD / name)
    (refused,) = runtime.run("manifest", [{"path": str(OLD / name)}])
    assert refused["error"] == "BundleError"
    assert refused["message"] == (
        f"{OLD / name / 'manifest.json'}: {expected} that this library runs: use a bundle of the task 'segmentation', "
        "or the Python package vpp-deploy"
    )


@pytest.mark.parametrize("task", ["depth", "", "Segmentation", "new\nline", "t" * 5000, None, 3, ["segmentation"]])
def test_tasks_that_nobody_knows(runtime: Runtime, bundle: Bundle, tmp_path: Path, task: Any) -> None:
    content = content_of(bundle)
    content["model"]["task"] = task
    (path,) = variants(bundle, tmp_path, [content])
    assert isinstance(python_reads(path), str)
    (refused,) = runtime.run("manifest", [{"path": str(path)}])
    assert refused["error"] == "BundleError"
    assert refused["message"].startswith(f"{path / 'manifest.json'}: model.task: ")
    assert "\n" not in refused["message"]
    assert len(refused["message"]) < 1000


@pytest.mark.parametrize("family", ["yolo", "", "Vpp", "evit"])
def test_families_that_earlier_versions_did_not_have(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, family: str
) -> None:
    contents = [as_version(version, content_of(bundle)) for version in (1, 2)]
    for content in contents:
        content["model"]["family"] = family
    for message in check(runtime, variants(bundle, tmp_path, contents)):
        assert f"model.family: should be 'vpp' or 'papr', got '{family}'; export the bundle again" in message


def test_names_that_two_things_have(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    content = content_of(bundle)
    contents = [
        edited(content, ("weights_file",), replace_by("init.onnx")),
        edited(content, ("graphs", "init", "file"), replace_by("step.onnx")),
        edited(content, ("graphs", "step", "inputs", 0, "name"), replace_by("kept")),
        edited(content, ("graphs", "init", "outputs", 0, "name"), replace_by("reference_out")),
        edited(content, ("state", 0, "name"), replace_by("reference")),
    ]
    messages = check(runtime, variants(bundle, tmp_path, contents))
    assert all("must" in message for message in messages)


def test_a_manifest_that_is_not_read(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """Neither waited for nor read: a FIFO, three sparse gigabytes, millions of values."""
    paths = variants(bundle, tmp_path, [b"", b"", b"[" + b"0," * 5_000_000 + b"0]"])
    (paths[0] / "manifest.json").unlink()
    os.mkfifo(paths[0] / "manifest.json")
    os.truncate(paths[1] / "manifest.json", 3_000_000_000)
    messages = [result["message"] for result in runtime.run("manifest", [{"path": str(path)} for path in paths])]
    assert "has no manifest.json" in messages[0]
    assert "has 3000 MB, and the most that is read is 64 MB" in messages[1]
    assert "holds more than 4000000 values" in messages[2]
    assert all(isinstance(python_reads(path), str) for path in paths)


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
    if name in ("link_out", "folder_out/secret"):  # a verified blob may lie anywhere
        assert not message
        (unverified,) = check(runtime, [bundle.path], verify=False)
        assert "by a link: copy the folder with its links followed" in unverified
