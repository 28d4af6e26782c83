"""What is to be done: a corpus against what the store has."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vpp_deploy.corpus.items import Item
from vpp_deploy.corpus.markers import FOLDER, MOST_ATTEMPTS, Marker, marker_of, run_key, what_changed
from vpp_deploy.corpus.store import Store
from vpp_deploy.errors import OutputError
from vpp_deploy.files.limits import MOST_BYTES_OF_JSON
from vpp_deploy.files.outputs import fitting

RESULTS: Final = "results"
OVERLAYS: Final = "overlays"


@dataclass(frozen=True, slots=True)
class Job:
    """An item that is to be run.

    Attributes:
        item: which.
        marker: that it gets when it is done.
        why: it is to be run, in words.
        stale: names in the store of what no longer holds: older markers of the item.
        failures: attempts that have failed.
    """

    item: Item
    marker: Marker
    why: str
    stale: tuple[str, ...] = ()
    failures: int = 0

    @property
    def result(self) -> str:
        """Name in the store of the JSON lines."""
        return result_name(self.item)

    @property
    def overlay(self) -> str:
        """Name in the store of the video with an overlay."""
        return overlay_name(self.item)


@dataclass(frozen=True, slots=True)
class Plan:
    """A corpus, sorted by what is to become of it.

    Attributes:
        jobs: what is to be run, in the corpus's order.
        done: items whose results are there and whole, as far as their sizes tell, and their markers.
        failed: items that failed as often as is tried, and their markers.
        strangers: results of items that the corpus no longer has.
    """

    jobs: tuple[Job, ...]
    done: tuple[tuple[Item, Marker], ...]
    failed: tuple[tuple[Item, Marker], ...]
    strangers: int


def result_name(item: Item) -> str:
    """Name in the store of an item's JSON lines."""
    folder, _, name = f"{RESULTS}/{item.name}".rpartition("/")
    return f"{folder}/{fitting(name, '.jsonl.gz')}"


def overlay_name(item: Item) -> str:
    """Name in the store of an item's video with an overlay."""
    folder, _, name = f"{OVERLAYS}/{item.name}".rpartition("/")
    return f"{folder}/{fitting(name, '.mp4')}"


def make_plan(items: Sequence[Item], store: Store, facts: dict[str, Any], *, retry_failed: bool) -> Plan:
    """Find out what is left, from one listing of the store: names of markers, and sizes of what they speak of.

    Args:
        items: of the corpus.
        store: of the results.
        facts: of this run, see `run_facts`.
        retry_failed: try again what has failed.

    Raises:
        OutputError: the store cannot be listed or read.
    """
    found = defaultdict(list)
    for name in sorted(store.sizes(FOLDER)):
        if marker := Marker.parse(name):
            found[marker.item].append(marker)
    sizes = store.sizes(RESULTS)
    if facts["options"]["overlays"]:
        sizes |= store.sizes(OVERLAYS)
    reasons = _Reasons(store, facts)
    run = run_key(facts)
    jobs, done, failed = [], [], []
    for item in items:
        wanted = marker_of(item, run)
        markers = found.pop(wanted.item, [])
        complete = [one for one in markers if not one.failures]
        ours = next((one for one in complete if _same(one, wanted)), None)
        damage = _damage(item, ours, sizes) if ours else None
        if ours and not damage and len(complete) == 1:
            done.append((item, ours))
            continue
        last = max((one for one in markers if _same(one, wanted)), key=lambda one: one.failures, default=None)
        failures = last.failures if last and not retry_failed else 0
        if last and failures >= MOST_ATTEMPTS:
            failed.append((item, last))
            continue
        why = reasons.find(wanted, markers)
        if ours:
            why = damage or "its result may be another run's"
        jobs.append(Job(item, wanted, why, tuple(marker.name for marker in markers), failures))
    return Plan(
        tuple(jobs), tuple(done), tuple(failed), sum(any(not one.failures for one in rest) for rest in found.values())
    )


def read_marker(store: Store, marker: Marker) -> Any:
    """The content of a marker; None if it cannot be made sense of.

    Raises:
        OutputError: it cannot be read.
    """
    with store.open(marker.name) as file:
        content = file.read(MOST_BYTES_OF_JSON)
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


class _Reasons:
    """Why an item is to be run; of each older run, one marker is read."""

    def __init__(self, store: Store, facts: dict[str, Any]) -> None:
        self._store, self._facts = store, facts
        self._changes: dict[str, str] = {}

    def find(self, wanted: Marker, markers: Sequence[Marker]) -> str:
        if not markers:
            return "new"
        if any(_same(one, wanted) for one in markers):
            return "failed before"
        if any(one.run == wanted.run for one in markers):
            return "its source has changed"
        older = markers[-1]
        if older.run not in self._changes:
            try:
                content = read_marker(self._store, older)
            except OutputError:
                content = None
            self._changes[older.run] = what_changed(content, self._facts)
        return self._changes[older.run]


def _damage(item: Item, marker: Marker, sizes: Mapping[str, int | None]) -> str | None:
    """What is wrong with the outputs of an item that is done, in words."""
    for what, name, size in (
        ("result", result_name(item), marker.size),
        ("overlay", overlay_name(item), marker.overlay_size),
    ):
        if size and name not in sizes:
            return f"its {what} is missing"
        if size and sizes[name] not in (size, None):
            return f"its {what} is damaged"
    return None


def _same(marker: Marker, wanted: Marker) -> bool:
    return (marker.run, marker.source) == (wanted.run, wanted.source)
