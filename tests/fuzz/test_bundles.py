"""Bundles whose hashes are right and whose content is not."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import onnx
import pytest

from tests.fuzz import bundles, hostile_bundles, mutation
from tests.fuzz.conftest import Fuzz
from tests.fuzz.hostile_bundles import KINDS
from tests.fuzz.runner import Outcome, Runner
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines import build_engine

OUTPUTS = {"segmentation": "seen.mp4", "classification": "seen", "tensors": "outputs.npz"}
FORMS = tuple(KINDS)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny bundle of each task, with an engine."""
    return hostile_bundles.originals(tmp_path_factory.mktemp("originals"))


@pytest.fixture(scope="module")
def with_openvino(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same with an OpenVINO engine, and without the other one."""
    made = hostile_bundles.originals(tmp_path_factory.mktemp("openvino"))
    for path in made.values():
        build_engine(Bundle.open(path), "openvino")
        shutil.rmtree(path / bundles.ENGINE)
    return made


@pytest.fixture(scope="module")
def sources(originals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each task runs on."""
    return hostile_bundles.sources(originals["tensors"], tmp_path_factory.mktemp("sources"))


def pick(originals: dict[str, Path], number: int, folder: Path) -> tuple[str, Path]:
    """A task, by turns, and a copy of its bundle to damage."""
    kind = FORMS[number % len(FORMS)]
    return kind, bundles.copy_of(originals[kind], folder / "case")


def use(runner: Runner, bundle: Path, kind: str, sources: dict[str, Path], generator: random.Random) -> Outcome:
    """One of the things that people do with a bundle."""
    match generator.randrange(6):
        case 0:
            words = ["inspect", bundle]
        case 1:
            words = ["inspect", bundle, "--json"]
        case 2 | 3:
            words = ["infer", bundle, sources[kind], "--json", "results.jsonl"]
        case 4:
            words = ["build-engine", bundle]
        case _:
            words = ["infer", bundle, sources[kind], "-o", OUTPUTS[kind]]
    return runner.run(words, bundle.parent)


@pytest.mark.parametrize("kind", FORMS)
def test_manifests(
    runner: Runner, fuzz: Fuzz, originals: dict[str, Path], sources: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    def case(generator: random.Random, number: int) -> Outcome:
        bundle = bundles.copy_of(originals[kind], tmp_path / "case")
        changed = mutation.damaged_json(bundles.manifest_of(bundle), generator)
        (bundle / bundles.MANIFEST).write_bytes(mutation.as_json(changed, generator))
        return use(runner, bundle, kind, sources, generator)

    fuzz(f"manifests of {kind}", case)


def test_engine_records(
    runner: Runner, fuzz: Fuzz, originals: dict[str, Path], sources: dict[str, Path], tmp_path: Path
) -> None:
    def case(generator: random.Random, number: int) -> Outcome:
        kind, bundle = pick(originals, number, tmp_path)
        changed = mutation.damaged_json(bundles.record_of(bundle), generator)
        (bundle / bundles.ENGINE / bundles.RECORD).write_bytes(mutation.as_json(changed, generator))
        return use(runner, bundle, kind, sources, generator)

    fuzz("engine records", case)


@pytest.mark.parametrize("how", ["bytes", "fields"])
def test_graphs(
    runner: Runner, fuzz: Fuzz, originals: dict[str, Path], sources: dict[str, Path], tmp_path: Path, how: str
) -> None:
    def case(generator: random.Random, number: int) -> Outcome:
        _, bundle = pick(originals, number, tmp_path)
        name = generator.choice([graph["file"] for graph in bundles.manifest_of(bundle)["graphs"].values()])
        bundles.replace_file(bundle, name, damaged_graph((bundle / name).read_bytes(), generator, how))
        shutil.rmtree(bundle / "engines")
        engine = generator.choice(("onnxruntime", "openvino"))
        words = ["build-engine", bundle, "--engine", engine] if generator.random() < 0.8 else ["inspect", bundle]
        return runner.run(words, bundle.parent)

    fuzz(f"graphs, {how}", case)


@pytest.mark.parametrize("how", ["bytes", "fields"])
def test_engines(
    runner: Runner, fuzz: Fuzz, originals: dict[str, Path], sources: dict[str, Path], tmp_path: Path, how: str
) -> None:
    def case(generator: random.Random, number: int) -> Outcome:
        kind, bundle = pick(originals, number, tmp_path)
        name = generator.choice([name for name in bundles.record_of(bundle)["files"] if name.endswith(".onnx")])
        content = (bundle / bundles.ENGINE / name).read_bytes()
        bundles.replace_engine_file(bundle, name, damaged_graph(content, generator, how))
        return runner.run(["infer", bundle, sources[kind], "--json", "results.jsonl"], bundle.parent)

    fuzz(f"engines, {how}", case)


@pytest.mark.parametrize("how", ["bytes", "attributes"])
def test_openvino_engines(
    runner: Runner, fuzz: Fuzz, with_openvino: dict[str, Path], sources: dict[str, Path], tmp_path: Path, how: str
) -> None:
    def case(generator: random.Random, number: int) -> Outcome:
        kind, bundle = pick(with_openvino, number, tmp_path)
        name = generator.choice(list(bundles.record_of(bundle, bundles.OPENVINO)["files"]))
        content = (bundle / bundles.OPENVINO / name).read_bytes()
        damage = damaged_layers if how == "attributes" and name.endswith(".xml") else mutation.damaged
        bundles.replace_engine_file(bundle, name, damage(content, generator), bundles.OPENVINO)
        words = ["infer", bundle, sources[kind], "--engine", "openvino", "--json", "results.jsonl"]
        return runner.run(words, bundle.parent)

    fuzz(f"OpenVINO engines, {how}", case)


def test_weights(
    runner: Runner, fuzz: Fuzz, originals: dict[str, Path], sources: dict[str, Path], tmp_path: Path
) -> None:
    def case(generator: random.Random, number: int) -> Outcome:
        kind, bundle = pick(originals, number, tmp_path)
        name = bundles.manifest_of(bundle)["weights_file"]
        content = mutation.damaged((bundle / name).read_bytes(), generator, head=2000)
        bundles.replace_file(bundle, name, content)
        return use(runner, bundle, kind, sources, generator)

    fuzz("weights", case)


def test_parity_summaries(runner: Runner, fuzz: Fuzz, originals: dict[str, Path], tmp_path: Path) -> None:
    summary = {"passed": True, "engine": {"backend": "onnxruntime"}, "outputs": {"logits": {"max": 1e-6}}, "frames": 3}

    def case(generator: random.Random, number: int) -> Outcome:
        _, bundle = pick(originals, number, tmp_path)
        (bundle / "parity").mkdir()
        changed = mutation.damaged_json(summary, generator)
        (bundle / "parity" / "onnxruntime.json").write_bytes(mutation.as_json(changed, generator))
        return runner.run(["inspect", bundle, *(["--json"] if number % 2 else [])], bundle.parent)

    fuzz("parity summaries", case)


def damaged_graph(content: bytes, generator: random.Random, how: str) -> bytes:
    """An ONNX file with damaged bytes, or one that can be read and has damaged fields."""
    if how == "bytes":
        return mutation.damaged(content, generator)
    model = onnx.load_from_string(content)
    mutation.damage_message(model, generator)
    changed: bytes = model.SerializeToString()
    return changed


_IN_LAYERS = ("", "0", "-1", "2147483647", "9223372036854775807", "f32", "i64", "boolean", "1,2,3", "?", "nan", "If")


def damaged_layers(content: bytes, generator: random.Random) -> bytes:
    """OpenVINO's XML, in which some attributes have other values."""
    parts = re.split(r'"([^"]*)"', content.decode())
    for _ in range(generator.choice((1, 1, 2, 5))):
        place = 2 * generator.randrange(len(parts) // 2) + 1
        parts[place] = generator.choice((*_IN_LAYERS, parts[2 * generator.randrange(len(parts) // 2) + 1]))
    return "".join(f'"{part}"' if place % 2 else part for place, part in enumerate(parts)).encode()


def test_the_damage_is_real(originals: dict[str, Path]) -> None:
    content = (originals["segmentation"] / "step.onnx").read_bytes()
    generator = random.Random(0)
    assert len({damaged_graph(content, generator, how) for how in ("bytes", "fields") for _ in range(50)}) > 80
    manifest = bundles.manifest_of(originals["segmentation"])
    changed = {json.dumps(mutation.damaged_json(manifest, generator)) for _ in range(50)}
    assert len(changed) > 40
