"""Opening a bundle: nothing in it is used before it has been checked."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from vpp_deploy.arguments import checked
from vpp_deploy.bundle.files import file_problem, is_unlinked, place_to_write, read_listed
from vpp_deploy.bundle.manifest import SCHEMA_VERSION, GraphRole, Manifest, made_again
from vpp_deploy.bundle.schema import MANIFESTS, validated
from vpp_deploy.errors import BundleError, OutputError, UsageError
from vpp_deploy.files.atomic import atomic_file
from vpp_deploy.files.limits import MOST_BYTES_OF_JSON, MOST_MEMORY
from vpp_deploy.files.reading import read_json

MANIFEST_FILE: Final = "manifest.json"
ENGINES_FOLDER: Final = "engines"
ENGINE_RECORD_FILE: Final = "engine.json"
"""In the folder of each engine."""
PARITY_FOLDER: Final = "parity"
_MOST_VALUES: Final = 2_000_000
"""Numbers, strings, lists and objects of a manifest."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle on disk.

    Attributes:
        path: the folder.
        manifest: its validated `manifest.json`.
        max_memory: bytes that the tensors of its graphs may take at once when it is built or run.
    """

    path: Path
    manifest: Manifest
    max_memory: int = field(default=MOST_MEMORY, compare=False)

    @classmethod
    @checked
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True, max_memory: int = MOST_MEMORY) -> Bundle:
        """Read and check a bundle.

        Files may be links to somewhere else, as in a cache of blobs, if their hashes are verified.

        Args:
            path: the bundle's folder.
            verify: also compare the SHA-256 of every file that the manifest lists. Without it, sizes are compared.
            max_memory: bytes that the tensors of its graphs may take at once; a bundle that needs more opens, but it
                is neither built nor run.

        Raises:
            UsageError: `max_memory` is no such number.
            BundleError: the folder or its manifest is missing or unreadable; the manifest has a newer schema or breaks
                this one; a listed file lies outside the folder, is missing or was altered.
        """
        if type(max_memory) is not int or max_memory < 1:  # NaN would allow everything
            raise UsageError(f"max_memory is {max_memory!r:.40}; give a whole number of bytes, at least 1")
        folder = Path(path)
        manifest = _read_manifest(folder)
        for name, record in manifest.files.items():
            if problem := file_problem(folder, name, record, verify=verify, links_out=True):
                raise BundleError(f"bundle {folder}: file {name!r:.80} {problem}: {manifest.again}")
        return cls(folder, manifest, max_memory)

    @property
    def shell_path(self) -> str:
        """The folder as a shell takes it, for commands in messages."""
        return shlex.quote(str(self.path))

    def graph_path(self, phase: GraphRole) -> Path:
        """The ONNX graph of a phase."""
        return self.path / self.manifest.graphs[phase].file

    def read_graph(self, phase: GraphRole) -> bytes:
        """The content of a phase's ONNX graph, with the hash that the manifest lists.

        Raises:
            BundleError: it cannot be read, or it was altered since the bundle was opened.
        """
        name = self.manifest.graphs[phase].file
        altered = f"bundle {self.path}: file {name!r:.80} was altered: {self.manifest.again}"
        return read_listed(self.path / name, self.manifest.files[name], BundleError, what="graph", altered=altered)

    @property
    def weights_path(self) -> Path:
        """The safetensors file that both graphs point into."""
        return self.path / self.manifest.weights_file

    def engine_folder(self, backend: str) -> Path:
        """Where the engine files of a backend are. It need not exist yet."""
        return self.path / ENGINES_FOLDER / backend

    def engine_folder_to_write(self, backend: str) -> Path:
        """Where the engine files of a backend go.

        Raises:
            OutputError: a link there would lead out of the bundle.
        """
        return place_to_write(self.path, self.engine_folder(backend))

    def parity_summary_path(self, backend: str) -> Path:
        """Where the parity summary of a backend goes. It need not exist yet."""
        return self.path / PARITY_FOLDER / f"{backend}.json"

    def read_parity_summary(self, backend: str) -> Any:
        """What a parity check of `backend` measured, unchecked; None where there is none, or a link to something else.

        Raises:
            BundleError: it cannot be read.
        """
        path = self.parity_summary_path(backend)
        if not path.exists() or not is_unlinked(self.path, path):
            return None
        hint = f"measure it again with: vpp-deploy parity {self.shell_path}"
        return read_json(path, BundleError, what="parity summary", limit=MOST_BYTES_OF_JSON, hint=hint)

    def write_parity_summary(self, backend: str, summary: Mapping[str, Any]) -> Path:
        """Store what a parity check of `backend` measured, replacing an older summary, and give the file's path.

        Raises:
            OutputError: the file cannot be written, or a link would lead out of the bundle.
            ValueError: `summary` is not JSON, which has no NaN and no infinity.
        """
        target = place_to_write(self.path, self.parity_summary_path(backend))
        text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
        try:
            target.parent.mkdir(exist_ok=True)
            with atomic_file(target) as file:
                file.write(text.encode())
        except OSError as error:
            raise OutputError(f"cannot write the parity summary {target}: {error.strerror or error}") from error
        return target


def check_open(bundle: object) -> None:
    """See that a user gave an open bundle, and not its path.

    Raises:
        UsageError: something else.
    """
    if not isinstance(bundle, Bundle):
        given = os.fspath(bundle) if isinstance(bundle, str | os.PathLike) else "..."
        raise UsageError(f"a {type(bundle).__name__} is no open bundle: give Bundle.open({given!r:.200})")


def _read_manifest(folder: Path) -> Manifest:
    if not os.path.isdir(folder):
        raise BundleError(f"bundle {folder} {_no_folder(folder)}: give the folder that `vpp-deploy export` wrote")
    path = folder / MANIFEST_FILE
    if not os.path.exists(path) and os.access(folder, os.X_OK):  # reading says what else is wrong
        raise BundleError(f"bundle {folder} has no {MANIFEST_FILE}: give the folder that `vpp-deploy export` wrote")
    hint = "export or quantise the bundle again"
    content = read_json(path, BundleError, what="manifest", limit=MOST_BYTES_OF_JSON, values=_MOST_VALUES, hint=hint)
    again = made_again(isinstance(content, dict) and content.get("quantization") is not None)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {version}, this vpp-deploy reads up to {SCHEMA_VERSION}: upgrade vpp-deploy"
        )
    task = _task(content)
    if task is not None and task not in MANIFESTS:
        raise BundleError(
            f"{path} is for the task {task!r:.80}, this vpp-deploy knows {', '.join(MANIFESTS)}: upgrade vpp-deploy, "
            f"or {again}"
        )
    try:
        return validated(content)
    except ValidationError as error:
        raise BundleError(f"{path}: {_first_problem(error)}; {again}") from error


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


def _no_folder(path: Path) -> str:
    """What is at a path in place of a folder, as the end of a sentence."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL byte in the name
        return "does not exist"
    except OSError as error:  # a folder before it may not be searched, the name is too long
        return f"cannot be opened ({error.strerror})"
    return "is not a folder"
