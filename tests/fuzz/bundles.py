"""Bundles that lie: damaged, with hashes that are right again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from vpp_deploy.bundle import sha256_of_bytes

MANIFEST = "manifest.json"
ENGINE = Path("engines") / "onnxruntime"
OPENVINO = Path("engines") / "openvino"
RECORD = "engine.json"


def copy_of(bundle: Path, folder: Path) -> Path:
    """A copy to damage, in a folder that has nothing else in it."""
    shutil.rmtree(folder, ignore_errors=True)
    copied = folder / "hostile.bundle"
    shutil.copytree(bundle, copied)
    return copied


def manifest_of(bundle: Path) -> dict[str, Any]:
    """The manifest as JSON."""
    content: dict[str, Any] = json.loads((bundle / MANIFEST).read_bytes())
    return content


def record_of(bundle: Path, engine: Path = ENGINE) -> dict[str, Any]:
    """The engine's record as JSON."""
    content: dict[str, Any] = json.loads((bundle / engine / RECORD).read_bytes())
    return content


def replace_file(bundle: Path, name: str, content: bytes) -> None:
    """Give a listed file other content, and the manifest and the engine's record the hash of it."""
    (bundle / name).write_bytes(content)
    manifest = manifest_of(bundle)
    manifest["files"][name] = {"bytes": len(content), "sha256": sha256_of_bytes(content)}
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    if (bundle / ENGINE / RECORD).is_file():
        record = record_of(bundle)
        if name in record["source"]:
            record["source"][name] = sha256_of_bytes(content)
            (bundle / ENGINE / RECORD).write_text(json.dumps(record))


def replace_engine_file(bundle: Path, name: str, content: bytes, engine: Path = ENGINE) -> None:
    """Give a file of the engine other content, and the engine's record the hash of it."""
    (bundle / engine / name).write_bytes(content)
    record = record_of(bundle, engine)
    record["files"][name] = {"bytes": len(content), "sha256": sha256_of_bytes(content)}
    (bundle / engine / RECORD).write_text(json.dumps(record))
