"""Engines that are nothing but a record, and the file that every record has to list."""

from __future__ import annotations

from pathlib import Path

from vpp_deploy.bundle import FileRecord, sha256_of_bytes
from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE
from vpp_deploy.engines.engine_record import EngineRecord

_CONTENT = b"an engine"


def store(folder: Path, record: EngineRecord) -> EngineRecord:
    """Write a record and a file, and give the record that lists it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan").write_bytes(_CONTENT)
    files = {"plan": FileRecord(bytes=len(_CONTENT), sha256=sha256_of_bytes(_CONTENT))}
    complete = record.model_copy(update={"files": files})
    (folder / ENGINE_RECORD_FILE).write_text(complete.model_dump_json())
    return complete
