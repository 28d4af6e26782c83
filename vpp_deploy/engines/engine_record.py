"""Engine files in a bundle: written whole, described by a record, refused with a reason when they do not fit."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vpp_deploy._version import __version__
from vpp_deploy.bundle.atomic import replace_folder, temporary_sibling
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import FileRecord
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.errors import IncompatibleEngineError, OutputError
from vpp_deploy.machine import Gpu

RECORD_FILE = "engine.json"
VERSION_COMPATIBLE = "version compatible"
"""The option of an engine that later versions of its library can run."""


class EngineRecord(BaseModel):
    """What an engine is made of and for: its fingerprint, next to the engine files.

    Attributes:
        backend: e.g. `onnxruntime`.
        backend_version: the library that built it; another one may not load it.
        precision: arithmetic precision.
        vpp_deploy: version of this package that lowered the graphs.
        machine: processor architecture, for engines that depend on it, else "any".
        compute_capabilities: GPU architectures that the engine was built for.
        options: what else decides what is built, by name.
        source: hash of every bundle file that the engine was built from.
        files: size and hash of the engine's own files.
        details: whatever else the backend has to say (seconds, layers).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str
    backend_version: str
    precision: str
    vpp_deploy: str = __version__
    machine: str = "any"
    compute_capabilities: tuple[str, ...] = ()
    options: dict[str, str] = {}
    source: dict[str, str]
    files: dict[str, FileRecord]
    details: dict[str, Any] = {}

    @classmethod
    def read(cls, folder: Path) -> EngineRecord:
        """The record in an engine's folder, unchecked.

        Raises:
            OSError, ValidationError: there is none, or it is damaged.
        """
        return cls.model_validate_json((folder / RECORD_FILE).read_bytes())


def source_hashes(bundle: Bundle) -> dict[str, str]:
    """Hash of every file that an engine is built from, as the manifest has it."""
    used = [bundle.manifest.weights_file, *(graph.file for graph in bundle.manifest.graphs.values())]
    return {name: bundle.manifest.files[name].sha256 for name in used}


def rebuild_command(bundle: Bundle, backend: str) -> str:
    """The command that builds the engine (again)."""
    return f"vpp-deploy build-engine {bundle.path} --engine {backend}"


@contextmanager
def engine_writer(bundle: Bundle, backend: str) -> Iterator[tuple[Path, Callable[[EngineRecord], None]]]:
    """Write an engine's files into a temporary folder that replaces an older engine when the block succeeds.

    Yields:
        The folder, and a function to call last, with the record (its `files` are filled in here).

    Raises:
        OutputError: the bundle's folder cannot be written to.
    """
    target = bundle.engine_folder(backend)
    folder = temporary_sibling(target)

    def finish(record: EngineRecord) -> None:
        files = {
            path.name: FileRecord(bytes=path.stat().st_size, sha256=sha256_of_file(path))
            for path in sorted(folder.iterdir())
        }
        complete = record.model_copy(update={"files": files})
        (folder / RECORD_FILE).write_text(complete.model_dump_json(indent=2) + "\n", encoding="utf-8")
        replace_folder(folder, target)

    try:
        folder.mkdir(parents=True)
        yield folder, finish
    except OSError as error:
        raise OutputError(f"cannot write the engine {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_record(bundle: Bundle, backend: str, backend_version: str) -> EngineRecord:
    """The record of an engine that fits this bundle, this backend version and this machine.

    Raises:
        IncompatibleEngineError: there is no such engine, its files are damaged, or it was built from another graph, by
            another version, or for another machine. The message names the command that rebuilds it.
    """
    folder = bundle.engine_folder(backend)
    advice = f"build it with: {rebuild_command(bundle, backend)}"
    if not (folder / RECORD_FILE).is_file():
        raise IncompatibleEngineError(f"bundle {bundle.path} has no {backend} engine; {advice}")
    try:
        record = EngineRecord.read(folder)
    except (ValidationError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise IncompatibleEngineError(f"{folder / RECORD_FILE} cannot be read ({reason}); {advice}") from error
    for problem in _problems(bundle, folder, record, backend_version):
        raise IncompatibleEngineError(f"{backend} engine in {bundle.path}: {problem}; {advice}")
    return record


def check_gpu(record: EngineRecord, gpus: Sequence[Gpu], build_command: str) -> None:
    """See that an engine is for a GPU of this machine, as far as both are known; no vendor library is asked.

    Args:
        record: of the engine.
        gpus: of the machine; none leaves the question to whoever opens a stream.
        build_command: what builds the engine again.

    Raises:
        IncompatibleEngineError: it is for other GPUs.
    """
    if not record.compute_capabilities or not gpus:
        return
    if all(gpu.compute_capability not in record.compute_capabilities for gpu in gpus):
        here = ", ".join(f"{gpu.name} ({gpu.compute_capability})" for gpu in gpus)
        raise IncompatibleEngineError(
            f"the {record.backend} engine is for GPUs of compute capability {', '.join(record.compute_capabilities)}, "
            f"this machine has {here}; build it with: {build_command}"
        )


def _problems(bundle: Bundle, folder: Path, record: EngineRecord, backend_version: str) -> Iterator[str]:
    source = source_hashes(bundle)
    for name, digest in source.items():
        if record.source.get(name) != digest:
            yield f"it was built from another {name} ({record.source.get(name, 'none')[:12]}, now {digest[:12]})"
    if not _runs_on(record, backend_version):
        yield f"it was built by version {record.backend_version}, this machine has {backend_version}"
    if record.machine not in ("any", platform.machine()):
        yield f"it was built for {record.machine}, this machine is {platform.machine()}"
    for name in damaged_files(folder, record):
        yield f"its file {name} is missing or was altered"


def _runs_on(record: EngineRecord, version: str) -> bool:
    """A version compatible engine runs on what built it and on later versions of the same major version."""
    if VERSION_COMPATIBLE not in record.options:
        return record.backend_version == version
    built, here = version_numbers(record.backend_version), version_numbers(version)
    return built[:1] == here[:1] and built <= here


def version_numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version such as `11.4.0.106`, to compare."""
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def damaged_files(folder: Path, record: EngineRecord) -> Iterator[str]:
    """Names of an engine's files that are not what its record says."""
    for name, expected in record.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected.bytes or sha256_of_file(path) != expected.sha256:
            yield name
