"""Engine files in a bundle: written whole, described by a record, refused with a reason when they do not fit."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vpp_deploy._version import __version__
from vpp_deploy.bundle.files import is_unlinked
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import FileRecord
from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE, Bundle
from vpp_deploy.engines.backend import Backend
from vpp_deploy.engines.engine_files import file_problems
from vpp_deploy.errors import BundleError, IncompatibleEngineError, OutputError
from vpp_deploy.files.atomic import new_folder
from vpp_deploy.files.limits import MOST_BYTES_OF_JSON
from vpp_deploy.files.reading import read_json
from vpp_deploy.machine import Gpu, version_numbers

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

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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
    def wanted(cls, bundle: Bundle, backend: Backend, **facts: Any) -> EngineRecord:
        """The record of an engine before it is built.

        Args:
            bundle: what it is built from.
            backend: what builds it.
            facts: whatever else is known.

        Raises:
            DependencyError: the backend is not installed.
        """
        return cls(
            backend=backend.name,
            backend_version=backend.required_version(),
            precision=bundle.manifest.precision,
            source=source_hashes(bundle),
            files={},
            **facts,
        )

    @classmethod
    def read(cls, folder: Path) -> EngineRecord:
        """The record in an engine's folder, unchecked.

        Args:
            folder: `engines/<backend>` of a bundle.

        Raises:
            FileNotFoundError: there is none.
            OSError, ValidationError: it is damaged, or what is there is a link to something else.
        """
        path = folder / ENGINE_RECORD_FILE
        if not os.path.lexists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if not is_unlinked(folder.parents[1], path):
            raise OSError(errno.ELOOP, "it is a link, or reached through one")
        return cls.model_validate(_content(path))


def _content(path: Path) -> Any:
    try:
        return read_json(path, BundleError, what="engine record", limit=MOST_BYTES_OF_JSON)
    except BundleError as error:
        raise OSError(errno.EINVAL, str(error)) from error


def source_hashes(bundle: Bundle) -> dict[str, str]:
    """Hash of every file that an engine is built from, as the manifest has it."""
    used = [bundle.manifest.weights_file, *(graph.file for graph in bundle.manifest.graphs.values())]
    return {name: bundle.manifest.files[name].sha256 for name in used}


def rebuild_command(bundle: Bundle, backend: str) -> str:
    """The command that builds the engine (again)."""
    return f"vpp-deploy build-engine {bundle.shell_path} --engine {backend}"


def first_build_command(bundle: Bundle) -> str:
    """The command that builds an engine where none was named: for the processor, if that computes in the precision."""
    from vpp_deploy.engines import BACKENDS, backends_for  # not above: they import this

    able = backends_for(bundle.manifest.precision)
    return rebuild_command(bundle, next((name for name in able if BACKENDS[name].runs_on == "cpu"), able[0]))


def no_engine(bundle: Bundle, backend: str) -> IncompatibleEngineError:
    """The error for an engine that a bundle does not have: it names those that it has, and what builds one."""
    from vpp_deploy.engines import BACKENDS, backends_for

    there = [name for name in BACKENDS if (bundle.engine_folder(name) / ENGINE_RECORD_FILE).is_file()]
    precision = bundle.manifest.precision
    ways = [f"use {' or '.join(there)}, which it has (--engine {there[0]})"] if there else []
    if backend in backends_for(precision):
        ways.append(f"build it with: {rebuild_command(bundle, backend)}")
    elif not there:
        ways.append(f"{backend} lacks {precision}, build another one with: {first_build_command(bundle)}")
    advice = ", or ".join(ways)
    return IncompatibleEngineError(f"bundle {bundle.path} has no {backend} engine; {advice}")


@contextmanager
def engine_writer(bundle: Bundle, backend: str) -> Iterator[tuple[Path, Callable[[EngineRecord], None]]]:
    """Write an engine's files into a temporary folder that replaces an older engine when the block succeeds.

    Yields:
        The folder, and a function to call last, with the record (its `files` are filled in here).

    Raises:
        OutputError: the bundle's folder cannot be written to, or a link there leads out of it. Raised before the block.
    """
    target = bundle.engine_folder_to_write(backend)
    try:
        with new_folder(target, make_parent=True) as (folder, commit):

            def finish(record: EngineRecord) -> None:
                files = {
                    path.name: FileRecord(bytes=path.stat().st_size, sha256=sha256_of_file(path))
                    for path in sorted(folder.iterdir())
                }
                complete = record.model_copy(update={"files": files})
                (folder / ENGINE_RECORD_FILE).write_text(complete.model_dump_json(indent=2) + "\n", encoding="utf-8")
                commit()

            yield folder, finish
    except OSError as error:
        raise OutputError(f"cannot write the engine {target}: {error.strerror or error}") from error


def read_record(bundle: Bundle, backend: str, backend_version: str) -> EngineRecord:
    """The record of an engine that fits this bundle, this backend version and this machine.

    Raises:
        IncompatibleEngineError: there is no such engine, its files are damaged, or it was built from another graph, by
            another version, or for another machine. The message names the command that rebuilds it.
    """
    folder = bundle.engine_folder(backend)
    advice = f"build it with: {rebuild_command(bundle, backend)}"
    try:
        record = EngineRecord.read(folder)
    except FileNotFoundError as error:
        raise no_engine(bundle, backend) from error
    except (ValidationError, OSError) as error:
        raise IncompatibleEngineError(
            f"{folder / ENGINE_RECORD_FILE} cannot be read ({why(error)}); {advice}"
        ) from error
    for problem in _problems(bundle, backend, record, backend_version):
        raise IncompatibleEngineError(f"{backend} engine in {bundle.path}: {problem}; {advice}")
    return record


def damage(bundle: Bundle, backend: str) -> str | None:
    """What makes the engine that a bundle has useless on every machine, as a clause; None for nothing."""
    folder = bundle.engine_folder(backend)
    try:
        record = EngineRecord.read(folder)
    except (ValidationError, OSError) as error:
        return f"its record cannot be read ({why(error)})"
    return next(chain(_mismatches(bundle, backend, record), _damaged_files(folder, record)), None)


def why(error: ValidationError | OSError) -> str:
    """Why a record cannot be read, as a clause."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return " ".join(f"{'.'.join(map(str, first['loc']))}: {first['msg']}".split())[:200]


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


def _problems(bundle: Bundle, backend: str, record: EngineRecord, backend_version: str) -> Iterator[str]:
    yield from _mismatches(bundle, backend, record)
    if not _runs_on(record, backend_version):
        yield f"it was built by version {record.backend_version}, this machine has {backend_version}"
    if record.machine not in ("any", platform.machine()):
        yield f"it was built for {record.machine}, this machine is {platform.machine()}"
    yield from _damaged_files(bundle.engine_folder(backend), record)


def _mismatches(bundle: Bundle, backend: str, record: EngineRecord) -> Iterator[str]:
    if record.backend != backend:
        yield f"its record is of {record.backend!r:.40}"
    if record.precision != bundle.manifest.precision:
        yield f"its precision is {record.precision!r:.40}, the bundle's is {bundle.manifest.precision}"
    source = source_hashes(bundle)
    for name, digest in source.items():
        if record.source.get(name) != digest:
            yield f"it was built from another {name} ({record.source.get(name, 'none')[:12]}, now {digest[:12]})"


def _damaged_files(folder: Path, record: EngineRecord) -> Iterator[str]:
    if not record.files:
        yield "its record lists no files"
    for name, problem in file_problems(folder, record.files):
        yield f"its file {name!r:.80} {problem}"


def _runs_on(record: EngineRecord, version: str) -> bool:
    """A version compatible engine runs on what built it and on later versions of the same major version."""
    if VERSION_COMPATIBLE not in record.options:
        return record.backend_version == version
    built, here = version_numbers(record.backend_version), version_numbers(version)
    return built[:1] == here[:1] and built <= here
