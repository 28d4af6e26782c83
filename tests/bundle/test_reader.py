import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bundle.factory import make_bundle, manifest
from vpp_deploy.bundle import SCHEMA_VERSION, Bundle, FileRecord, sha256_of_bytes
from vpp_deploy.bundle.manifest import FRAME_BY_FRAME
from vpp_deploy.errors import BundleError, OutputError, UsageError


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "tiny.bundle")


def edit_manifest(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle.path / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rejection(path: Path, *, verify: bool = True) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.open(path, verify=verify)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_written_bundle_opens_with_the_same_manifest(bundle: Bundle) -> None:
    assert Bundle.open(bundle.path) == bundle
    assert Bundle.open(str(bundle.path), verify=False).manifest == bundle.manifest


def test_paths_lead_to_graphs_that_run(bundle: Bundle) -> None:
    for phase in FRAME_BY_FRAME:
        session = onnxruntime.InferenceSession(bundle.graph_path(phase), providers=["CPUExecutionProvider"])
        graph = bundle.manifest.graphs[phase]
        states = [state.input for state in bundle.manifest.state if phase == "step"]
        assert [value.name for value in session.get_inputs()] == [spec.name for spec in graph.inputs] + states
        assert {value.name: tuple(value.shape) for value in session.get_outputs()} == {
            **{spec.name: spec.shape for spec in graph.outputs},
            **{state.output: state.shape for state in bundle.manifest.state},
        }
    assert bundle.weights_path.name in {path.name for path in bundle.path.iterdir()}
    assert bundle.engine_folder("tensorrt-rtx") == bundle.path / "engines" / "tensorrt-rtx"


def test_files_that_were_added_later_do_not_matter(bundle: Bundle) -> None:
    engines = bundle.engine_folder("tensorrt")
    engines.mkdir(parents=True)
    (engines / "step.engine").write_bytes(b"engine")
    bundle.write_parity_summary("tensorrt", {"equal": True})
    assert Bundle.open(bundle.path) == bundle


def test_no_folder(tmp_path: Path) -> None:
    assert "does not exist" in rejection(tmp_path / "nothing")
    assert "cannot be opened (File name too long)" in rejection(tmp_path / ("n" * 300))
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be opened (Too many levels" in rejection(tmp_path / "loop")
    (tmp_path / "file").write_text("")
    assert "is not a folder" in rejection(tmp_path / "file")
    assert "has no manifest.json" in rejection(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b"[" * 100_000], ids=["empty", "cut", "utf-16", "deep"])
def test_a_manifest_that_is_not_json(bundle: Bundle, content: bytes) -> None:
    (bundle.path / "manifest.json").write_bytes(content)
    assert "manifest.json is not JSON" in rejection(bundle.path)


@pytest.mark.parametrize("content", [b"[]", b"null", b"3", b'{"files": {}}'])
def test_json_that_is_not_a_manifest(bundle: Bundle, content: bytes) -> None:
    (bundle.path / "manifest.json").write_bytes(content)
    assert "export the bundle again" in rejection(bundle.path)


def test_a_newer_schema_asks_for_an_upgrade(bundle: Bundle) -> None:
    edit_manifest(bundle, lambda content: content.update(schema_version=SCHEMA_VERSION + 1, new_field={}))
    message = rejection(bundle.path)
    assert f"schema version {SCHEMA_VERSION + 1}" in message
    assert f"up to {SCHEMA_VERSION}: upgrade vpp-deploy" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda content: content.pop("frame_size"), "frame_size: Field required"),
        (lambda content: content.update(patch_size=-16), "patch_size: Input should be greater than 0, got -16"),
        (lambda content: content.update(extra=1), "extra: Extra inputs are not permitted, got 1"),
        (lambda content: content["graphs"].pop("step"), "graphs: missing the phase step"),
        (lambda content: content["files"].pop("step.onnx"), "files: 'step.onnx' is used but has no size and hash"),
        (lambda content: content.update(weights_file="init.onnx"), "graphs: each graph and the weights must be a file"),
        (lambda content: content["graphs"]["init"].update(file="step.onnx"), "graphs: each graph and the weights must"),
        (
            lambda content: content["graphs"]["step"]["inputs"][0].update(name="kept"),
            "graphs.step: each input, output and state must have a name of its own",
        ),
        (
            lambda content: content["state"][0].update(name="reference"),
            "state: each tensor must have a name of its own",
        ),
        (lambda content: content.update(frame_size=[2**31, 1]), "frame_size.0: Input should be less than 2147483648"),
        (lambda content: content["files"]["step.onnx"].update(sha256="0"), "files.step.onnx.sha256: "),
        (lambda content: content["state"].reverse(), "state: input and output names must sort"),
        (lambda content: content["graphs"]["init"]["inputs"][0].update(dtype="int4"), "graphs.init.inputs.0.dtype: "),
    ],
)
def test_a_broken_field_is_named(bundle: Bundle, change: Callable[[dict[str, Any]], object], expected: str) -> None:
    edit_manifest(bundle, change)
    assert f"manifest.json: {expected}" in rejection(bundle.path)


def test_several_broken_fields_still_give_one_line(bundle: Bundle) -> None:
    edit_manifest(bundle, lambda content: content.update(patch_size="x\ny", class_names=3, weights_file=None))
    assert "(and 2 more problems)" in rejection(bundle.path)


def test_a_missing_file(bundle: Bundle) -> None:
    bundle.graph_path("step").unlink()
    assert "'step.onnx' is missing" in rejection(bundle.path, verify=False)
    bundle.graph_path("step").mkdir()
    assert "'step.onnx' is missing" in rejection(bundle.path, verify=False)


def test_a_truncated_file_is_found_without_hashing(bundle: Bundle) -> None:
    os.truncate(bundle.weights_path, 100)
    assert "'weights.safetensors' has 100 bytes" in rejection(bundle.path, verify=False)


def test_an_altered_file_is_found_by_its_hash(bundle: Bundle) -> None:
    content = bytearray(bundle.weights_path.read_bytes())
    content[-1] ^= 1
    bundle.weights_path.write_bytes(content)

    message = rejection(bundle.path)

    assert "'weights.safetensors' was altered" in message
    assert sha256_of_bytes(content)[:12] in message
    assert bundle.manifest.files["weights.safetensors"].sha256[:12] in message
    assert Bundle.open(bundle.path, verify=False) == bundle


def list_file(bundle: Bundle, name: str, content: bytes) -> None:
    record = {"bytes": len(content), "sha256": sha256_of_bytes(content)}
    edit_manifest(bundle, lambda manifest: manifest["files"].update({name: record}))


@pytest.mark.parametrize("name", ["../secret", "sub/../../secret", "..\\secret", "C:\\secret", "C:secret", "\\secret"])
def test_a_name_that_leads_outside(bundle: Bundle, name: str) -> None:
    (bundle.path.parent / "secret").write_bytes(b"secret")
    list_file(bundle, name, b"secret")
    assert "lies outside the folder" in rejection(bundle.path)


def test_an_absolute_name(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    list_file(bundle, str(tmp_path / "secret"), b"secret")
    assert "lies outside the folder" in rejection(bundle.path)


def test_files_may_be_links_to_blobs_if_their_hashes_are_verified(bundle: Bundle, tmp_path: Path) -> None:
    """The layout of the Hugging Face cache: a snapshot of links, the manifest among them, and blobs named by hash."""
    (tmp_path / "blobs").mkdir()
    snapshot = tmp_path / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    for file in bundle.path.iterdir():
        blob = tmp_path / "blobs" / sha256_of_bytes(file.read_bytes())
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(Path("..") / ".." / "blobs" / blob.name)
    opened = Bundle.open(snapshot)
    assert opened.manifest == bundle.manifest
    assert opened.read_graph("step") == bundle.graph_path("step").read_bytes()
    assert "by a link: copy the folder with its links followed" in rejection(snapshot, verify=False)
    (snapshot / "step.onnx").unlink()
    (snapshot / "step.onnx").symlink_to(tmp_path / "blobs" / bundle.manifest.files["init.onnx"].sha256)
    assert "'step.onnx' has " in rejection(snapshot)


def test_a_linked_folder_is_as_good_as_a_linked_file(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"verified")
    (bundle.path / "folder").symlink_to(tmp_path / "outside")
    list_file(bundle, "folder/file", b"verified")
    assert "folder/file" in Bundle.open(bundle.path).manifest.files
    list_file(bundle, "folder/file", b"verifies")
    assert "'folder/file' was altered" in rejection(bundle.path)


def test_a_graph_that_changes_after_the_bundle_was_opened(bundle: Bundle) -> None:
    bundle.graph_path("step").write_bytes(bundle.graph_path("step").read_bytes()[::-1])
    with pytest.raises(BundleError, match=r"'step\.onnx' was altered"):
        bundle.read_graph("step")


@pytest.mark.parametrize("name", ["manifest.json", "step.onnx"])
def test_a_fifo_is_refused_and_not_waited_for(bundle: Bundle, name: str) -> None:
    (bundle.path / name).unlink()
    os.mkfifo(bundle.path / name)
    assert name in rejection(bundle.path)


def test_a_manifest_over_the_limit_is_refused_unread(bundle: Bundle) -> None:
    os.truncate(bundle.path / "manifest.json", 5_000_000_000)  # sparse
    assert "has 5 GB, and the most that is read is 64 MB" in rejection(bundle.path)


@pytest.mark.parametrize(
    "number", [b"NaN", b"1e999", b"-Infinity", b"1" * 5000, b"1" * 400], ids=lambda n: n[:9].decode()
)
def test_numbers_beyond_any_measure(bundle: Bundle, number: bytes) -> None:
    path = bundle.path / "manifest.json"
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"patch_size": 16', b'"patch_size": ' + number))
    rejection(bundle.path)
    path.write_bytes(content.replace(b'"width": 128', b'"width": ' + number))
    if number != b"1" * 400:  # a whole number that JSON can hold, in a field that is the family's
        rejection(bundle.path)


def test_links_inside_and_a_link_to_the_bundle_are_fine(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / "alias").symlink_to("step.onnx")
    list_file(bundle, "alias", bundle.graph_path("step").read_bytes())
    (tmp_path / "link").symlink_to(bundle.path)
    assert "alias" in Bundle.open(tmp_path / "link").manifest.files


@pytest.mark.parametrize("name", ["nul\0byte", "n" * 5000, "\ud800"], ids=["nul", "long", "surrogate"])
def test_a_name_that_no_file_can_have(bundle: Bundle, name: str) -> None:
    list_file(bundle, name, b"")
    assert len(rejection(bundle.path)) < 1000


def test_a_link_to_itself(bundle: Bundle) -> None:
    (bundle.path / "loop").symlink_to("loop")
    list_file(bundle, "loop", b"")
    assert "'loop'" in rejection(bundle.path)


def test_a_parity_summary_replaces_the_older_one(bundle: Bundle) -> None:
    bundle.write_parity_summary("onnxruntime", {"frames": 1})
    path = bundle.write_parity_summary("onnxruntime", {"frames": 30, "worst": float(np.float32(1e-5))})
    assert path == bundle.path / "parity" / "onnxruntime.json" == bundle.parity_summary_path("onnxruntime")
    assert json.loads(path.read_text())["frames"] == 30
    with pytest.raises(ValueError, match="JSON"):
        bundle.write_parity_summary("onnxruntime", {"worst": float("nan")})
    assert json.loads(path.read_text())["frames"] == 30
    assert [entry.name for entry in path.parent.iterdir()] == ["onnxruntime.json"]


@pytest.mark.parametrize("link", ["engines", "engines/onnxruntime", "parity", "parity/onnxruntime.json"])
@pytest.mark.parametrize("target", ["elsewhere", "tiny.bundle"])
def test_nothing_is_written_through_a_link(bundle: Bundle, link: str, target: str, tmp_path: Path) -> None:
    """Nor is a foreign file shown as a parity summary."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "onnxruntime.json").write_text('{"secret": 1}')
    place = bundle.path / link
    place.parent.mkdir(exist_ok=True)
    file = "onnxruntime.json" if link.endswith(".json") else ""
    place.symlink_to(tmp_path / target / file)
    if "engines" in link:
        with pytest.raises(OutputError, match=r"by a link to .* remove the link, or work on a copy"):
            bundle.engine_folder_to_write("onnxruntime")
    else:
        with pytest.raises(OutputError, match=r"by a link to .* remove the link, or work on a copy"):
            bundle.write_parity_summary("onnxruntime", {"frames": 1})
        assert bundle.read_parity_summary("onnxruntime") is None
    assert (tmp_path / "elsewhere" / "onnxruntime.json").read_text() == '{"secret": 1}'


@pytest.mark.parametrize("content", [b'{"a": NaN}', b"[" * 100_000, b"{", b'{"a": 1e999}', b"\xff"])
def test_a_parity_summary_that_is_not_json(bundle: Bundle, content: bytes) -> None:
    assert bundle.read_parity_summary("onnxruntime") is None
    bundle.write_parity_summary("onnxruntime", {}).write_bytes(content)
    with pytest.raises(BundleError, match=r"onnxruntime\.json is not JSON .* measure it again with: vpp-deploy parity"):
        bundle.read_parity_summary("onnxruntime")


def test_a_parity_summary_that_cannot_be_written(bundle: Bundle) -> None:
    (bundle.path / "parity").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write the parity summary"):
        bundle.write_parity_summary("onnxruntime", {})


RECORDS = st.builds(
    FileRecord, bytes=st.integers(0, 2**62), sha256=st.text("0123456789abcdef", min_size=64, max_size=64)
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(
    files=st.dictionaries(st.text(min_size=1), RECORDS, max_size=3),
    config=st.dictionaries(st.text(), JSON_VALUES, max_size=3),
    names=st.lists(st.text(), max_size=3),
    score=st.floats(0, 1),
)
def test_a_manifest_survives_json(
    files: dict[str, FileRecord], config: dict[str, Any], names: list[str], score: float
) -> None:
    used = dict.fromkeys(["init.onnx", "step.onnx", "weights.safetensors"], FileRecord(bytes=0, sha256="0" * 64))
    base = manifest(files | used)
    original = base.model_copy(
        update={
            "model": base.model.model_copy(update={"config": config}),
            "class_names": tuple(names),
            "tracker": base.tracker.model_copy(update={"new_score": score}),
        }
    )
    assert type(original).model_validate(json.loads(original.model_dump_json())) == original


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), 2.5e9, None, "2 GB", 0, -1, True])
def test_a_limit_of_memory_is_a_number_of_bytes(tmp_path: Path, limit: Any) -> None:
    path = make_bundle(tmp_path / "tiny.bundle").path
    with pytest.raises(UsageError, match=r"max_memory is .*; give a whole number"):
        Bundle.open(path, max_memory=limit)
