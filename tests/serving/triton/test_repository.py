"""Repositories as they are written; what a server makes of them is in `on_server`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.testing import assert_allclose

import vpp_deploy as vd
from tests.bundle.tensors_factory import make_tensors
from vpp_deploy.errors import IncompatibleEngineError, OutputError, UsageError
from vpp_deploy.serving.triton import repository as module
from vpp_deploy.serving.triton.repository import write_repository
from vpp_deploy.serving.triton.settings import Placed, Settings


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_model_of_videos_holds_its_bundle_and_one_engine(micro_bundle: vd.Bundle, tmp_path: Path) -> None:
    (folder,) = write_repository(micro_bundle, tmp_path / "models", name="street-1.0")
    assert folder == tmp_path / "models" / "street-1.0"
    engine = {
        f"engines/onnxruntime/{file}" for file in ("engine.json", "init.onnx", "step.onnx", "weights.safetensors")
    }
    bundle = {"manifest.json", "init.onnx", "step.onnx", "weights.safetensors"} | engine
    assert names(folder) == {"config.pbtxt", "1/model.py"} | {f"1/bundle/{file}" for file in bundle}
    copy = vd.Bundle.open(folder / "1" / "bundle")
    assert copy.manifest == micro_bundle.manifest
    assert vd.load(copy, threads=1).frame_size == (128, 192)
    assert (folder / "1" / "model.py").read_text().count("\n") < 10


def test_an_engine_for_onnx_runtime_is_built_where_there_is_none(micro_bundle: vd.Bundle, tmp_path: Path) -> None:
    own = Path(shutil.copytree(micro_bundle.path, tmp_path / "own.bundle"))
    shutil.rmtree(own / "engines")
    (folder,) = write_repository(vd.Bundle.open(own), tmp_path / "models")
    assert not (own / "engines").exists()
    assert "1/bundle/engines/onnxruntime/engine.json" in names(folder)


@pytest.mark.parametrize("role", ["init", "step"])
def test_graphs_for_triton_s_onnx_runtime_compute_what_the_engine_does(
    role: Any, micro_bundle: vd.Bundle, tmp_path: Path
) -> None:
    write_repository(micro_bundle, tmp_path, graphs="onnxruntime")
    paths = [tmp_path / f"vpp_{role}" / "1" / "model.onnx", micro_bundle.engine_folder("onnxruntime") / f"{role}.onnx"]
    assert {node.domain for node in onnx.load(paths[0], load_external_data=False).graph.node} <= {"", "ai.onnx"}
    generator, found = np.random.default_rng(0), []
    specs = list(micro_bundle.manifest.graphs[role].inputs)
    states = [] if role == "init" else list(micro_bundle.manifest.state)
    feed = {spec.name: _some(spec, generator) for spec in specs} | {one.input: _some(one, generator) for one in states}
    for path in paths:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert {value.name for value in session.get_inputs()} == feed.keys()
        found.append(dict(zip((value.name for value in session.get_outputs()), session.run(None, feed), strict=True)))
    assert found[0].keys() == found[1].keys()
    assert_allclose(found[0]["class_logits"], found[1]["class_logits"], atol=1e-3, rtol=1e-3)


def _some(spec: Any, generator: np.random.Generator) -> Any:
    if spec.name == "content_size":
        return np.array([128, 192], np.int32)
    if spec.dtype == "int32":
        return np.arange(np.prod(spec.shape), dtype=np.int32).reshape(spec.shape)
    if spec.dtype == "uint8":
        return generator.integers(0, 256, spec.shape, np.uint8)
    return generator.standard_normal(spec.shape).astype(spec.dtype)


def test_what_cannot_be_served_is_refused(micro_bundle: vd.Bundle, papr_bundle: vd.Bundle, tmp_path: Path) -> None:
    cases: list[tuple[vd.Bundle, dict[str, Any], str]] = [
        (micro_bundle, {"name": "../up"}, r"name '\.\./up' is none for a model"),
        (micro_bundle, {"name": ""}, "name '' is none"),
        (micro_bundle, {"graphs": "openvino"}, "graphs 'openvino': choose from python, onnxruntime, tensorrt"),
        (micro_bundle, {"settings": Settings(engine="nonsense")}, "unknown engine 'nonsense'"),
        (papr_bundle, {"graphs": "onnxruntime"}, "is a classifier; it is served with"),
        (papr_bundle, {"top": 0}, "top is 0"),
    ]
    for bundle, named, words in cases:
        with pytest.raises(UsageError, match=words):
            write_repository(bundle, tmp_path / "models", **named)
    with pytest.raises(IncompatibleEngineError, match="has no tensorrt engine; build it with: vpp-deploy build-engine"):
        write_repository(micro_bundle, tmp_path / "models", graphs="tensorrt")
    with pytest.raises(IncompatibleEngineError, match="has no openvino engine"):
        write_repository(micro_bundle, tmp_path / "models", settings=Settings(engine="openvino"))
    plain = make_tensors(tmp_path / "plain.bundle", "g (float[2] x) => (float[2] y) { y = Relu (x) }")
    with pytest.raises(UsageError, match="gives plain tensors"):
        write_repository(plain, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_models_appear_together_or_not_at_all(
    micro_bundle: vd.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk while the last of three is written."""

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_texts", full)
    with pytest.raises(OutputError, match=r"cannot write into the repository .*: No space left on device"):
        write_repository(micro_bundle, tmp_path / "models", graphs="onnxruntime")
    assert list(tmp_path.iterdir()) == []


def test_only_what_this_command_wrote_is_replaced(micro_bundle: vd.Bundle, tmp_path: Path) -> None:
    (folder,) = write_repository(micro_bundle, tmp_path)
    with pytest.raises(OutputError, match="exists already: choose another --name, or replace it with --overwrite"):
        write_repository(micro_bundle, tmp_path)
    (folder / "1" / "__pycache__").mkdir()
    (folder / "1" / "__pycache__" / "model.cpython-311.pyc").touch()
    write_repository(micro_bundle, tmp_path, overwrite=True, settings=Settings(max_streams=5))
    assert 'string_value: "5"' in (folder / "config.pbtxt").read_text()
    for other in ("2/model.py", "notes.txt", "1/bundle/notes.txt"):
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).touch()
        with pytest.raises(OutputError, match="holds more than such a model"):
            write_repository(micro_bundle, tmp_path, overwrite=True)
        (folder / other).unlink()
    (folder / "config.pbtxt").write_text('name: "vpp"\n')
    with pytest.raises(OutputError, match="was not written by vpp-deploy triton and stays"):
        write_repository(micro_bundle, tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"max_streams": 0}, "max_streams is 0; it is at least 1"),
        ({"workers": -1}, "workers is -1; it is at least 0"),
        ({"snapshots": "here"}, "is not an absolute path"),
        ({"snapshots": "/a\nb"}, "holds a control character"),
    ],
)
def test_settings_that_cannot_be(named: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Settings(**named)


def test_settings_come_back_from_parameters() -> None:
    settings = Settings(engine="openvino", workers=3, snapshots="/var/lib/vpp")
    assert Settings.from_parameters(settings.to_parameters() | {"FORCE_CPU_ONLY_INPUT_TENSORS": "yes"}) == settings
    with pytest.raises(UsageError, match="parameter threads is 'many'; it is a whole number"):
        Settings.from_parameters({"threads": "many"})
    config = '{"parameters": {"top": {"string_value": "3"}}}'
    placed = Placed.of({"model_name": "m", "model_repository": "/r/m", "model_version": "2", "model_config": config})
    assert (placed.name, placed.folder, placed.number("top")) == ("m", Path("/r/m/2"), 3)
