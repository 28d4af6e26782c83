"""What lies in a bundle's folder that is not the bundle's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vpp_deploy.bundle.reader import MANIFEST_FILE, Bundle
from vpp_deploy.errors import BundleError
from vpp_deploy.files.reading import read_json
from vpp_deploy.files.temporary import is_dead, is_temporary

_ENGINES: Final = "engines"
_PARITY: Final = "parity"
_RECORD: Final = "engine.json"
_MOST_BYTES: Final = 64_000_000


def others_in(bundle: Bundle) -> Iterator[str]:
    """Names, relative to the folder, of what no manifest or engine record lists and is no parity summary.

    A link that is not a listed file counts, wherever it leads; what a killed run left behind does not.
    """
    listed = {MANIFEST_FILE, *bundle.manifest.files, *_engine_files(bundle.path)}
    folders = {str(parent) for name in listed for parent in Path(name).parents} | {_ENGINES, _PARITY}
    for place, inner, names in os.walk(bundle.path):
        at = Path(place).relative_to(bundle.path)
        for name in list(inner):
            own = (at / name).as_posix()
            if is_temporary(name) and is_dead(Path(place) / name):
                inner.remove(name)
            elif own not in folders or (Path(place) / name).is_symlink():
                yield own
        for name in names:
            own = (at / name).as_posix()
            if own not in listed and not _is_summary(bundle.path, own) and not is_temporary(name):
                yield own


def _engine_files(bundle: Path) -> Iterator[str]:
    """What the records of the engines list."""
    for record in sorted((bundle / _ENGINES).glob(f"*/{_RECORD}")):
        content = _json(record, "engine record")
        files = content.get("files") if isinstance(content, dict) else None
        if isinstance(files, dict):
            folder = f"{_ENGINES}/{record.parent.name}"
            yield f"{folder}/{_RECORD}"
            yield from (f"{folder}/{name}" for name in files)


def _is_summary(bundle: Path, name: str) -> bool:
    """Whether a file is a parity summary: JSON that says whether parity passed."""
    path = Path(name)
    if path.parent.as_posix() != _PARITY or path.suffix != ".json" or (bundle / name).is_symlink():
        return False
    content = _json(bundle / name, "parity summary")
    return isinstance(content, dict) and isinstance(content.get("passed"), bool)


def _json(path: Path, what: str) -> object:
    """The content of a JSON file; None if it cannot be read, for then it is not ours."""
    try:
        content: object = read_json(path, BundleError, what=what, limit=_MOST_BYTES)
    except BundleError:
        return None
    return content
