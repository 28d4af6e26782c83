"""Mutated manifests, engine records and plans: the C++ readers give a value or one line (with sanitizers: -m slow)."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.factory import make_bundle
from tests.cpp.runtime import Runtime
from tests.cpp.test_manifest import content_of, variants
from tests.fuzz import mutation
from vpp_deploy.bundle import Bundle
from vpp_deploy.engines.engine_record import EngineRecord, engine_writer, source_hashes

CASES = int(os.environ.get("FUZZ_CPP_CASES", "300"))
SEED = int(os.environ.get("FUZZ_SEED", "20261126"))
HOST = {"backend": "tensorrt", "version": "10.13.3.9"}


@pytest.fixture
def generator() -> random.Random:
    return random.Random(SEED)


def outcomes(results: list[dict[str, Any]], kind: str) -> Counter[str]:
    """How many were read and refused; every refusal is one line of the right kind."""
    for result in results:
        if "error" in result:
            assert result["error"] == kind, result
            assert "\n" not in result["message"]
            assert len(result["message"]) < 4000
    return Counter("refused" if "error" in result else "read" for result in results)


def test_manifests(runtime: Runtime, generator: random.Random, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny.bundle")
    content, text = content_of(bundle), (bundle.path / "manifest.json").read_bytes()
    contents = [
        mutation.as_json(mutation.damaged_json(content, generator), generator)
        if number % 3
        else mutation.damaged(text, generator)
        for number in range(CASES)
    ]
    paths = variants(bundle, tmp_path, contents)
    found = outcomes(runtime.run("manifest", [{"path": str(path), "verify": True} for path in paths]), "BundleError")
    assert found["refused"] > CASES // 2


def test_engine_records(runtime: Runtime, generator: random.Random, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny.bundle")
    with engine_writer(bundle, HOST["backend"]) as (folder, finish):
        (folder / "init.engine").write_bytes(b"init")
        (folder / "step.engine").write_bytes(b"step")
        finish(
            EngineRecord(
                backend=HOST["backend"],
                backend_version=HOST["version"],
                precision=bundle.manifest.precision,
                compute_capabilities=("8.9",),
                source=source_hashes(bundle),
                files={},
            )
        )
    path = bundle.engine_folder(HOST["backend"]) / "engine.json"
    content = EngineRecord.read(path.parent).model_dump(mode="json")
    results = []
    for number in range(CASES // 10):
        changed = mutation.as_json(mutation.damaged_json(content, generator), generator)
        path.write_bytes(changed if number % 3 else mutation.damaged(changed, generator))
        results += runtime.run("engine", [{"path": str(bundle.path)} | HOST])
    assert outcomes(results, "EngineError")["refused"] > 0


def test_plans(runtime: Runtime, generator: random.Random, tmp_path: Path) -> None:
    plan = bytearray(200)
    plan[0:4], plan[24:28] = (0x74727466).to_bytes(4, "little"), bytes([10, 13, 3, 9])
    cases = []
    for number in range(CASES):
        path = tmp_path / f"{number}.engine"
        path.write_bytes(mutation.damaged(bytes(plan), generator, head=40))
        cases.append({"path": str(path)} | HOST)
    results = runtime.run("plan", cases)
    assert len(results) == CASES
    assert {result["backend"] for result in results} >= {"tensorrt", None}


def test_a_bundle_that_is_sound_is_read(runtime: Runtime, tmp_path: Path) -> None:
    bundle: Bundle = make_bundle(tmp_path / "tiny.bundle")
    (result,) = runtime.run("manifest", [{"path": str(bundle.path), "verify": True}])
    assert "error" not in result
