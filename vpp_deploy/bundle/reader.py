"""Opening a bundle: nothing in it is used before it has been checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from pydantic import ValidationError

from vpp_deploy.bundle.atomic import atomic_file
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import SCHEMA_VERSION, FileRecord, GraphRole, Manifest
from vpp_deploy.bundle.schema import MANIFESTS, validated
from vpp_deploy.errors import BundleError, OutputError

MANIFEST_FILE: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle on disk.

    Attributes:
        path: the folder.
        manifest: its validated `manifest.json`.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = True) -> Bundle:
        """Read and check a bundle.

        Args:
            path: the bundle's folder.
            verify: also compare the SHA-256 of every file that the manifest lists. Without it, sizes are compared.

        Raises:
            BundleError: the folder or its manifest is missing or unreadable; the manifest has a newer schema or breaks
                this one; a listed file lies outside the folder, is missing or was altered.
        """
        folder = Path(path)
        manifest = _read_manifest(folder)
        for name, record in manifest.files.items():
            _check_file(folder, name, record, verify=verify)
        return cls(folder, manifest)

    def graph_path(self, phase: GraphRole) -> Path:
        """The ONNX graph of a phase."""
        return self.path / self.manifest.graphs[phase].file

    @property
    def weights_path(self) -> Path:
        """The safetensors file that both graphs point into."""
        return self.path / self.manifest.weights_file

    def engine_folder(self, backend: str) -> Path:
        """Where the engine files of a backend go. It need not exist yet."""
        return self.path / "engines" / backend

    def parity_summary_path(self, backend: str) -> Path:
        """Where the parity summary of a backend goes. It need not exist yet."""
        return self.path / "parity" / f"{backend}.json"

    def write_parity_summary(self, backend: str, summary: Mapping[str, Any]) -> Path:
        """Store what a parity check of `backend` measured, replacing an older summary, and give the file's path.

        Raises:
            OutputError: the file cannot be written.
            ValueError: `summary` is not JSON, which has no NaN and no infinity.
        """
        target = self.parity_summary_path(backend)
        text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
        try:
            target.parent.mkdir(exist_ok=True)
            with atomic_file(target) as file:
                file.write(text.encode())
        except OSError as error:
            raise OutputError(f"cannot write the parity summary {target}: {error.strerror or error}") from error
        return target


def _read_manifest(folder: Path) -> Manifest:
    if not os.path.isdir(folder):
        what = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise BundleError(f"bundle {folder} {what}: give the folder that `vpp-deploy export` wrote")
    path = folder / MANIFEST_FILE
    if not os.path.isfile(path):
        raise BundleError(f"bundle {folder} has no {MANIFEST_FILE}: give the folder that `vpp-deploy export` wrote")
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON ({error}): export the bundle again") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {version}, this vpp-deploy reads up to {SCHEMA_VERSION}: upgrade vpp-deploy"
        )
    task = _task(content)
    if task is not None and task not in MANIFESTS:
        raise BundleError(
            f"{path} is for the task {task!r:.80}, this vpp-deploy knows {', '.join(MANIFESTS)}: upgrade vpp-deploy, "
            "or export the bundle again"
        )
    try:
        return validated(content)
    except ValidationError as error:
        raise BundleError(f"{path}: {_first_problem(error)}; export the bundle again") from error


def _task(content: Any) -> str | None:
    model = content.get("model") if isinstance(content, dict) else None
    task = model.get("task") if isinstance(model, dict) else None
    return task if isinstance(task, str) else None


def _first_problem(error: ValidationError) -> str:
    """The first validation problem as one line that starts with the field's path."""
    first, *others = error.errors(include_url=False, include_context=False)
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if field and not message.startswith(f"{field}: "):
        message = f"{field}: {message}"
    if isinstance(first["input"], str | int | float | bool):
        message += f", got {first['input']!r:.80}"
    if others:
        message += f" (and {len(others)} more problem{'s' if len(others) > 1 else ''})"
    return " ".join(message.split())


def _check_file(folder: Path, name: str, record: FileRecord, *, verify: bool) -> None:
    path = folder / name
    try:
        if not _is_inside(folder, name):
            raise BundleError(f"bundle {folder}: file {name!r} lies outside the bundle: do not use this bundle")
        if not path.is_file():
            raise BundleError(f"bundle {folder}: file {name!r} is missing: export it again")
        if (size := path.stat().st_size) != record.bytes:
            raise BundleError(
                f"bundle {folder}: file {name!r} has {size} bytes, the manifest says {record.bytes}: export it again"
            )
        if verify and (digest := sha256_of_file(path)) != record.sha256:
            raise BundleError(
                f"bundle {folder}: file {name!r} was altered (sha256 {digest[:12]}…, the manifest says "
                f"{record.sha256[:12]}…): export it again"
            )
    except (OSError, ValueError, RuntimeError) as error:  # names that are too long, NUL bytes, symbolic link loops
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise BundleError(f"bundle {folder}: file {name!r:.80} cannot be read ({reason}): export it again") from error


def _is_inside(folder: Path, name: str) -> bool:
    """Whether a manifest's file name is a plain relative path that, links followed, stays in the folder."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if posix.is_absolute() or windows.anchor or ".." in (*posix.parts, *windows.parts):
        return False
    return (folder / name).resolve().is_relative_to(folder.resolve())
