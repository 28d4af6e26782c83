"""Bundles of every schema version open, build and run; the JSON schema in `docs/` is the one of this version."""

from __future__ import annotations

import copy
import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from pydantic import ValidationError

import vpp_deploy
from tests.bundle.data.make import instances, picture
from vpp_deploy.bundle import MANIFEST_FILE, SCHEMA_VERSION, Bundle
from vpp_deploy.bundle.json_schema import SCHEMA_FILE, json_schema
from vpp_deploy.bundle.schema import MANIFESTS, validated
from vpp_deploy.engines.engine_record import EngineRecord
from vpp_deploy.engines.protocols import Engine
from vpp_deploy.errors import BundleError, IncompatibleEngineError
from vpp_deploy.frames import Frame

DATA = Path(__file__).parent / "data"
BACKEND = "onnxruntime"
TASKS = {"vpp": "segmentation", "papr": "classification", "tensors": "tensors"}
NAMES = sorted(path.name for path in DATA.iterdir() if (path / MANIFEST_FILE).is_file())
VIDEO = [name for name in NAMES if name.endswith("-vpp")]
Content = dict[str, Any]


def content_of(name: str) -> Content:
    content: Content = json.loads((DATA / name / MANIFEST_FILE).read_text())
    return content


def frames_of(name: str) -> list[Content]:
    """Inputs and outputs of three frames, as arrays where the manifest has tensors."""
    frames: list[Content] = json.loads((DATA / f"{name}.json").read_text())
    for n, frame in enumerate(frames):
        if name.endswith("-vpp"):
            frame["inputs"]["frame"] = picture(n)
        if name.endswith("-papr"):
            frame["inputs"]["images"] = np.stack([picture(n), picture(n + 1)])
    return frames


def check_frames(engine: Engine, name: str) -> None:
    """The engine gives what the engine of that time gave."""
    stream = engine.open_stream()
    for frame in frames_of(name):
        graph = engine.manifest.graphs[stream.snapshot().phase]
        inputs = {spec.name: np.array(frame["inputs"][spec.name], spec.dtype) for spec in graph.inputs}
        outputs = stream.run(inputs)
        assert outputs.keys() == frame["outputs"].keys()
        for output, values in frame["outputs"].items():
            np.testing.assert_allclose(outputs[output], values, rtol=0, atol=2e-5, err_msg=output)


@pytest.fixture
def copied(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    """A copy of a bundle, without the engine that may be in it."""
    path = shutil.copytree(DATA / request.param, tmp_path / request.param, ignore=shutil.ignore_patterns("engines"))
    return Bundle.open(path)


def test_there_are_bundles_of_every_version() -> None:
    versions = {int(name[1:].partition("-")[0]) for name in NAMES}
    assert versions == set(range(1, SCHEMA_VERSION + 1))
    assert {name.partition("-")[2] for name in NAMES if name.startswith(f"v{SCHEMA_VERSION}-")} == TASKS.keys()
    assert set(TASKS.values()) == MANIFESTS.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_opens(name: str) -> None:
    written = content_of(name)
    manifest = Bundle.open(DATA / name).manifest
    assert written["schema_version"] == int(name[1])
    assert manifest.schema_version == SCHEMA_VERSION
    assert manifest.model.task == manifest.task == TASKS[name.partition("-")[2]]
    assert type(manifest) is MANIFESTS[manifest.task]
    again = json.loads(manifest.model_dump_json())
    assert validated(again) == manifest
    if "selection_points" in written:
        written["pruning_points"] = written.pop("selection_points")
    assert holds(again, written | {"schema_version": SCHEMA_VERSION})


def holds(now: Any, written: Any) -> bool:
    """Everything that was written is still there; fields may have been added since."""
    if isinstance(written, dict):
        return all(name in now and holds(now[name], value) for name, value in written.items())
    if isinstance(written, list):
        return len(now) == len(written) and all(map(holds, now, written))
    return bool(now == written)


@pytest.mark.parametrize("copied", NAMES, indirect=True)
def test_a_bundle_builds_and_runs(copied: Bundle) -> None:
    engine = vpp_deploy.build_engine(copied, BACKEND)
    check_frames(engine, copied.path.name)


@pytest.mark.parametrize("copied", VIDEO, indirect=True)
def test_a_video_is_tracked(copied: Bundle) -> None:
    expected = [frame["instances"] for frame in frames_of(copied.path.name)]
    with vpp_deploy.open_session(vpp_deploy.build_engine(copied, BACKEND)) as session:
        for n, wanted in enumerate(expected):
            found = instances(session(picture(n)).instances)
            np.testing.assert_allclose(found.pop("scores"), wanted.pop("scores"), rtol=0, atol=2e-5)
            assert found == wanted
    assert expected[0]["labels"]


@pytest.mark.parametrize("copied", [name for name in NAMES if name.endswith("-papr")], indirect=True)
def test_pictures_are_classified(copied: Bundle) -> None:
    session = vpp_deploy.open_session(vpp_deploy.build_engine(copied, BACKEND))
    pictures = [picture(n) for n in range(2)]
    batch = [(Frame(image, image.shape[:2], image, n),) for n, image in enumerate(pictures)]
    logits = frames_of(copied.path.name)[0]["outputs"]["logits"]
    assert [int(result.labels[0]) for result in session(batch)] == np.argmax(logits, axis=1).tolist()


@pytest.mark.parametrize("copied", [name for name in NAMES if name.endswith("-tensors")], indirect=True)
def test_tensors_run_with_their_state(copied: Bundle) -> None:
    with vpp_deploy.open_session(vpp_deploy.build_engine(copied, BACKEND)) as session:
        for frame in frames_of(copied.path.name):
            inputs = {name: np.array(value, np.float32) for name, value in frame["inputs"].items()}
            np.testing.assert_allclose(session(inputs)["mean"], frame["outputs"]["mean"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", VIDEO)
def test_an_engine_of_that_time_runs_where_it_fits(name: str) -> None:
    bundle = Bundle.open(DATA / name)
    record = EngineRecord.read(bundle.engine_folder(BACKEND))
    if (record.backend_version, record.machine) == (onnxruntime.__version__, platform.machine()):
        check_frames(vpp_deploy.load_engine(bundle, BACKEND), name)
        return
    with pytest.raises(IncompatibleEngineError, match=r"it was built (by version|for) .+build-engine"):
        vpp_deploy.load_engine(bundle, BACKEND)


def test_an_engine_of_another_version_is_refused_by_its_version(tmp_path: Path) -> None:
    path = shutil.copytree(DATA / "v1-vpp", tmp_path / "v1-vpp")
    record_file = path / "engines" / BACKEND / "engine.json"
    record = json.loads(record_file.read_text()) | {"backend_version": "0.1"}
    record_file.write_text(json.dumps(record))
    with pytest.raises(IncompatibleEngineError, match=r"built by version 0\.1, this machine has .+build-engine"):
        vpp_deploy.load_engine(Bundle.open(path), BACKEND)


def rejection(content: Content, folder: Path) -> str:
    (folder / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(BundleError) as caught:
        Bundle.open(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{folder / MANIFEST_FILE}")


@pytest.mark.parametrize("name", ["v1-vpp", "v2-vpp"])
@pytest.mark.parametrize("field", ["pruning_points", "blocks", "frames"])
def test_a_field_of_a_later_version_is_refused(name: str, field: str, tmp_path: Path) -> None:
    content = content_of(name)
    content[field] = content["selection_points"] if field == "pruning_points" else 12
    assert rejection(content, tmp_path).startswith(f": {field}: Extra inputs are not permitted")


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (
            "v2-vpp",
            lambda content: content["model"].update(task="segmentation"),
            ": model.task: Extra inputs are not permitted, got 'segmentation'; export the bundle again",
        ),
        (
            "v2-vpp",
            lambda content: content["model"].update(family="yolo"),
            ": model.family: Input should be 'vpp' or 'papr', got 'yolo'; export the bundle again",
        ),
        ("v2-vpp", lambda content: content["model"].update(family=3), ": model.family: Input should be a valid string"),
        ("v2-vpp", lambda content: content.update(model=[]), ": model: "),
        ("v2-papr", lambda content: content.update(selection_points=[]), ": selection_points: Extra inputs"),
        ("v3-vpp", lambda content: content.update(selection_points=[]), ": selection_points: Extra inputs"),
        ("v3-vpp", lambda content: content["model"].pop("task"), ": model.task: Field required"),
        ("v3-vpp", lambda content: content["model"].update(task=3), ": model.task: Input should be a valid string"),
        ("v3-vpp", lambda content: content["model"].update(task="depth"), " is for the task 'depth', "),
        ("v3-vpp", lambda content: content["model"].update(task="tensors"), ": frame_size: Extra inputs"),
        ("v3-tensors", lambda content: content["model"].update(task="segmentation"), ": frame_size: Field required"),
    ],
)
def test_what_no_version_says(name: str, change: Callable[[Content], object], expected: str, tmp_path: Path) -> None:
    content = content_of(name)
    change(content)
    assert rejection(content, tmp_path).startswith(expected)


def test_a_task_that_is_unknown_breaks_the_schema() -> None:
    content = content_of("v3-tensors")
    content["model"]["task"] = "depth"
    with pytest.raises(ValidationError, match="'segmentation' or 'classification' or 'tensors'"):
        validated(content)


def test_a_family_of_another_package_may_have_any_task() -> None:
    content = content_of("v3-vpp")
    content["model"]["family"] = "mine"
    assert validated(content).model.family == "mine"


def test_the_json_schema_in_docs_is_current() -> None:
    assert in_any_pydantic(json.loads(SCHEMA_FILE.read_text())) == in_any_pydantic(json_schema()), (
        "docs/manifest.schema.json is not the schema of this version; write it with: "
        "python -m vpp_deploy.bundle.json_schema"
    )


def in_any_pydantic(schema: Any) -> Any:
    """The schema without what earlier versions of pydantic write in another way."""
    if isinstance(schema, list):
        return [in_any_pydantic(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    redundant = {"propertyNames"} | ({"enum"} if "const" in schema else set())
    kept = {name: value for name, value in schema.items() if name not in redundant and value is not True}
    return {name: in_any_pydantic(value) for name, value in kept.items()}


@pytest.fixture(scope="module")
def problems() -> Callable[[Any], list[str]]:
    """What the JSON schema in `docs/` finds wrong with a manifest."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    return lambda content: [error.message for error in validator.iter_errors(content)]


@pytest.mark.parametrize("name", NAMES)
def test_manifests_of_this_version_fit_the_json_schema(name: str, problems: Callable[[Any], list[str]]) -> None:
    content = content_of(name)
    assert bool(problems(content)) == (content["schema_version"] != SCHEMA_VERSION)
    upgraded = json.loads(Bundle.open(DATA / name).manifest.model_dump_json())
    assert problems(upgraded) == []
    for field in ("task", "name"):
        broken = copy.deepcopy(upgraded)
        del broken["model"][field]
        assert problems(broken)
    for task in MANIFESTS.keys() - {upgraded["model"]["task"]}:
        assert problems(upgraded | {"model": upgraded["model"] | {"task": task}})
    assert problems(upgraded | {"surprise": 1})


@pytest.mark.parametrize("name", NAMES)
def test_the_hash_of_a_bundle_is_of_what_it_computes_not_of_when_it_was_made(name: str) -> None:
    manifest = validated(content_of(name))
    made = manifest.provenance.model_copy(update={"created": "2001-01-01T00:00:00+00:00", "vpp_deploy": "9"})
    assert manifest.model_copy(update={"provenance": made}).bundle_hash == manifest.bundle_hash
    assert validated(manifest.model_dump(mode="json")).bundle_hash == manifest.bundle_hash
    step = manifest.graphs[manifest.roles[-1]].file
    record = manifest.files[step].model_copy(update={"sha256": 64 * "0"})
    others = [
        manifest.model_copy(update={"files": {**manifest.files, step: record}}),
        manifest.model_copy(update={"precision": "float16"}),
        *(validated(content_of(other)) for other in NAMES if other != name),
    ]
    assert manifest.bundle_hash not in {other.bundle_hash for other in others}
