"""Checkpoints in several files, with an index beside them; and folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from vpp_deploy.errors import CheckpointError
from vpp_deploy.exporters.checkpoint.records import UnreadableError
from vpp_deploy.files.reading import read_json

INDEX_NAMES: Final = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLE_NAMES: Final = ("model.safetensors", "pytorch_model.bin")
_SHARD: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)", re.ASCII)
_MAX_INDEX: Final = 64 << 20


def in_folder(folder: Path) -> Path:
    """The index of a folder's shards, or its only file of weights.

    Raises:
        UnreadableError: it has neither.
    """
    for name in (*INDEX_NAMES, *_SINGLE_NAMES):
        if (folder / name).is_file():
            return folder / name
    for pattern in ("*.index.json", "*-00001-of-?????.safetensors", "*-00001-of-?????.bin"):
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
    raise UnreadableError(
        f"is a folder without {', '.join((*INDEX_NAMES, *_SINGLE_NAMES))}; give the file of the weights"
    )


def shards_by_index(index: Path) -> dict[Path, set[str]]:
    """The files that an index names, and which tensors are in each; in the order of their names.

    Raises:
        CheckpointError: it cannot be read, is not JSON, or is larger than any index.
        UnreadableError: it is no such index, or a file is missing.
    """
    content = read_json(index, CheckpointError, what="index of shards", limit=_MAX_INDEX)
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names:
        raise UnreadableError("is a JSON file, and not an index of shards (it has no weight_map); give the weights")
    shards: dict[str, set[str]] = {}
    for tensor, shard in names.items():
        if not isinstance(shard, str) or not shard or shard != Path(shard).name or shard == ".." or "\0" in shard:
            raise UnreadableError(f"names a shard outside its folder: {shard!r}"[:300])
        shards.setdefault(shard, set()).add(tensor)
    missing = [name for name in sorted(shards) if not (index.parent / name).is_file()]
    if missing:
        raise UnreadableError(
            f"names {len(shards)} shards, of which {len(missing)} are missing: {', '.join(missing[:3])}"
        )
    return {index.parent / name: shards[name] for name in sorted(shards)}


def shards_beside(path: Path) -> Path | dict[Path, None] | None:
    """What a shard belongs to: its index, or all shards where there is no index; None for a file that is no shard.

    Raises:
        UnreadableError: there is no index, and shards are missing.
    """
    found = _SHARD.fullmatch(path.name)
    if found is None:
        return None
    index = path.with_name(f"{found['stem']}{found['suffix']}.index.json")
    if index.is_file():
        return index
    count = int(found["count"])
    names = [f"{found['stem']}-{number:05}-of-{count:05}{found['suffix']}" for number in range(1, count + 1)]
    missing = [name for name in names if not path.with_name(name).is_file()]
    if count == 0 or missing:
        raise UnreadableError(
            f"is shard {int(found['number'])} of {count} of a checkpoint, and others are not beside it "
            f"({', '.join(missing[:3])}); give the folder with all of them"
        )
    return {path.with_name(name): None for name in names}
