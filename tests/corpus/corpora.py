"""Corpora of tiny videos, and what a batch made of them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.media.clips import write_clip

PROGRAM = "import sys; from vpp_deploy.cli.main import main; sys.exit(main(sys.argv[1:]))"


def write_videos(folder: Path, names: Sequence[str], frames: int = 2) -> Path:
    """Videos of their own content: one differs from the next in its frame rate, and so in the times of its frames."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_clip(folder / name, frames=frames, rate=10 + number % 40)
    return folder


def results(out: Path) -> dict[str, bytes]:
    """The compressed lines of each item."""
    folder = out / "results"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(out: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(results(out)[f"{name}.jsonl.gz"]).splitlines()]


def without_seconds(path: Path) -> list[dict[str, Any]]:
    """The lines that `infer --json` wrote, as a batch keeps them."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        del record["seconds"]
    return records


def markers(out: Path) -> dict[str, list[str]]:
    """By item, the ends of its markers' names: `json` of what is done, `failed2.json` of what is not."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for path in (out / "markers").iterdir() if path.name != "table.json"):
        found.setdefault(json.loads(path.read_text())["item"], []).append(path.name.partition(".")[2])
    return found


def leftovers(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if path.name.startswith(".vpp-")]


def command(*words: object) -> list[str]:
    """How a process of its own is started."""
    return [sys.executable, "-c", PROGRAM, *map(str, words)]


def start(*words: object, **settings: Any) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **settings)
