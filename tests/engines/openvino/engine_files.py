"""Files of an OpenVINO engine, changed as somebody would who wants them to be loaded."""

from __future__ import annotations

import json

from vpp_deploy.bundle import Bundle, sha256_of_bytes
from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE


def replace_file(bundle: Bundle, name: str, content: bytes | None) -> None:
    """Give a file other content, and the engine's record the hash of it; None takes it out of the record."""
    folder = bundle.engine_folder("openvino")
    record = json.loads((folder / ENGINE_RECORD_FILE).read_bytes())
    if content is None:
        del record["files"][name]
    else:
        (folder / name).write_bytes(content)
        record["files"][name] = {"bytes": len(content), "sha256": sha256_of_bytes(content)}
    (folder / ENGINE_RECORD_FILE).write_text(json.dumps(record))
