"""What lies in a bundle's folder that is not the bundle's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE, ENGINES_FOLDER, MANIFEST_FILE, PARITY_FOLDER, Bundle
from vpp_deploy.errors import BundleError
from vpp_deploy.files.contents import others_in
from vpp_deploy.files.limits import MOST_BYTES_OF_JSON
from vpp_deploy.files.reading import read_json
from vpp_deploy.files.temporary import is_dead, is_temporary


def others_in_bundle(bundle: Bundle) -> Iterator[str]:
    """Names, relative to the folder, of what no manifest or engine record lists and is no parity summary.

    A link that is not a listed file counts, wherever it leads; what a killed run left behind does not.
    """
    listed = {MANIFEST_FILE, *bundle.manifest.files, *_engine_files(bundle.path)}
    return others_in(
        bundle.path,
        listed,
        folders={ENGINES_FOLDER, PARITY_FOLDER},
        is_own=lambda name: _is_leftover(bundle.path / name) or _is_summary(bundle.path, name),
    )


def _is_leftover(path: Path) -> bool:
    return is_temporary(path.name) and (not path.is_dir() or is_dead(path))


def _engine_files(bundle: Path) -> Iterator[str]:
    """What the records of the engines list."""
    for record in sorted((bundle / ENGINES_FOLDER).glob(f"*/{ENGINE_RECORD_FILE}")):
        content = _json(record, "engine record")
        files = content.get("files") if isinstance(content, dict) else None
        if isinstance(files, dict):
            folder = f"{ENGINES_FOLDER}/{record.parent.name}"
            yield f"{folder}/{ENGINE_RECORD_FILE}"
            yield from (f"{folder}/{name}" for name in files)


def _is_summary(bundle: Path, name: str) -> bool:
    """Whether a file is a parity summary: JSON that says whether parity passed."""
    path = Path(name)
    if path.parent.as_posix() != PARITY_FOLDER or path.suffix != ".json" or (bundle / name).is_symlink():
        return False
    content = _json(bundle / name, "parity summary")
    return isinstance(content, dict) and isinstance(content.get("passed"), bool)


def _json(path: Path, what: str) -> object:
    """The content of a JSON file; None if it cannot be read, for then it is not ours."""
    try:
        content: object = read_json(path, BundleError, what=what, limit=MOST_BYTES_OF_JSON)
    except BundleError:
        return None
    return content
