"""Markers: small files, written last, whose names alone say what is done, of which content, how, and with what result.

A marker's name begins with three hashes: of the item's name, of how it was run (`run_facts`), of its source. That of an
item that is done goes on with the hash of its result, the result's size, and its overlay's if it has one. So one
listing tells what is left and what is whole, and no file is ever changed by two. What is in a marker is for people.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from vpp_deploy.bundle.hashing import sha256_of_bytes, sha256_of_file
from vpp_deploy.bundle.reader import MANIFEST_FILE, Bundle
from vpp_deploy.corpus.items import Item
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.engine_record import read_record

FORMAT: Final = 1
"""Of results and markers; those of another one are done again."""
FOLDER: Final = "markers"
MOST_ATTEMPTS: Final = 2
_DAMAGED: Final = "its marker is damaged"
_DIGITS: Final = 16
_HASH: Final = rf"([0-9a-f]{{{_DIGITS}}})"
_NAME: Final = re.compile(
    rf"{FOLDER}/{_HASH}-{_HASH}-{_HASH}(?:-{_HASH}-([0-9]{{1,18}})(?:-([0-9]{{1,18}}))?|\.failed([1-9]))\.json"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """What a marker's name says.

    Attributes:
        item: hash of the item's name.
        run: of how it was run.
        source: of its files' sizes and versions.
        failures: attempts that failed; 0 for an item that is done.
        result: hash of its JSON lines, as they are stored.
        size: of these, in bytes.
        overlay_size: of the video with an overlay, in bytes; 0 where none was made.
    """

    item: str
    run: str
    source: str
    failures: int = 0
    result: str = ""
    size: int = 0
    overlay_size: int = 0

    @property
    def name(self) -> str:
        """In the store."""
        key = f"{FOLDER}/{self.item}-{self.run}-{self.source}"
        if self.failures:
            return f"{key}.failed{self.failures}.json"
        overlay = f"-{self.overlay_size}" if self.overlay_size else ""
        return f"{key}-{self.result}-{self.size}{overlay}.json"

    def with_outputs(self, lines: Path, overlay: Path | None) -> Self:
        """The marker of an item that has been done, of its files before they are stored.

        Raises:
            OSError: one cannot be read.
        """
        overlay_size = overlay.stat().st_size if overlay else 0
        return replace(
            self, result=sha256_of_file(lines)[:_DIGITS], size=lines.stat().st_size, overlay_size=overlay_size
        )

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """From the name of a file in the store; None if it is no marker."""
        if not (match := _NAME.fullmatch(name)):
            return None
        item, run, source, result, size, overlay, failures = match.groups()
        return cls(item, run, source, int(failures or 0), result or "", int(size or 0), int(overlay or 0))


def marker_of(item: Item, run: str) -> Marker:
    """The beginning of the marker of an item: what it is run on, and how."""
    source = [[os.path.basename(file.name), file.size, file.version] for file in item.files]
    return Marker(_hash(os.fsencode(item.name)), run, _hash(_json(source)))


def run_facts(bundle: Bundle, backend: str, options: dict[str, Any]) -> dict[str, Any]:
    """All that decides a result, besides the source.

    Args:
        bundle: open.
        backend: whose engine runs.
        options: that change results, as JSON values.

    Raises:
        UsageError, DependencyError, IncompatibleEngineError: there is no such engine, or it does not fit.
    """
    record = read_record(bundle, backend, BACKENDS.find(backend, "engine").required_version())
    return {
        "format": FORMAT,
        "bundle": sha256_of_file(bundle.path / MANIFEST_FILE),
        "engine": f"{backend} {_hash(_json(record.model_dump(mode='json', exclude={'details'})))}",
        "options": options,
    }


def run_key(facts: dict[str, Any]) -> str:
    """The hash of `run_facts` in the names of markers."""
    return _hash(_json(facts))


def what_changed(old: object, new: dict[str, Any]) -> str:
    """How the run of an older marker differs from this one, in words.

    Args:
        old: the marker's content, from whoever wrote it; None if it cannot be read.
        new: facts of this run.
    """
    facts = old.get("run") if isinstance(old, dict) else None
    if not isinstance(facts, dict) or "format" not in facts:
        return _DAMAGED
    if facts["format"] != FORMAT:
        return "made by another version of vpp-deploy"
    changed = [name for name in ("bundle", "engine") if facts.get(name) != new[name]]
    before, now = facts.get("options"), new["options"]
    if isinstance(before, dict):
        changed += [name.replace("_", " ") for name in {**before, **now} if before.get(name) != now.get(name)]
    return f"made with another {', '.join(changed)}" if changed else _DAMAGED


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _hash(content: bytes) -> str:
    return sha256_of_bytes(content)[:_DIGITS]
