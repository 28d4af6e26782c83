"""A long run in which everything happens: nothing grows."""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import vpp_deploy
from benchmarks.pool import Usage
from tests.media.clips import cut, write_clip
from tests.media.servers import RtspServer, silent_server
from vpp_deploy.bundle import Bundle
from vpp_deploy.errors import EngineOutputError
from vpp_deploy.serving.live import LiveRun
from vpp_deploy.tasks.segmentation.session import VideoSession

SECONDS = float(os.environ.get("SOAK_SECONDS", "120"))
MOST_GROWTH = 24 << 20
"""Bytes from the first third of the soak to its end; a decoder that is not freed would show after a few dozen."""


@pytest.mark.slow
def test_sources_that_start_end_break_and_fall_silent_leave_nothing_behind(
    micro_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(0)
    run_frame = VideoSession.__call__

    def often(session: VideoSession, frame: Any) -> Any:
        if chance.random() < 0.02:
            raise EngineOutputError("NaN, as it happens")
        return run_frame(session, frame)

    monkeypatch.setattr(VideoSession, "__call__", often)
    short, other = (
        write_clip(tmp_path / f"{name}.ts", frames=24, size=size) for name, size in (("a", (48, 64)), ("b", (96, 80)))
    )
    joined = tmp_path / "joined.ts"
    joined.write_bytes(short.read_bytes() + other.read_bytes())
    damaged = cut(write_clip(tmp_path / "clip.mkv", frames=24, noise=True), 0.6)
    out = tmp_path / "out"
    out.mkdir()
    model = vpp_deploy.load(micro_bundle.path, threads=1)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(RtspServer(short, pause=0.005)),
            stack.enter_context(RtspServer(joined)),
            stack.enter_context(RtspServer(other, stall=True)),
        ]
        silent = stack.enter_context(silent_server())
        everything = [
            *(server.url for server in servers),
            f"rtsp://{silent}/x",
            "rtsp://127.0.0.1:1/dead",
            str(joined),
            str(damaged),
            str(tmp_path / "none.mp4"),
        ]
        reading = {"timeout": 0.3}
        run = stack.enter_context(LiveRun(model, workers=2, lines=out, videos=out, reading=reading, pause=0.05))
        begin, usages = time.monotonic(), []
        while time.monotonic() < begin + SECONDS:
            run.set_sources(chance.sample(everything, chance.randint(1, len(everything))))
            run.wait(chance.uniform(0.1, 1.5))
            if chance.random() < 0.1:
                usages.append(settled(run))
        usages.append(settled(run))
        done = run.pool.statistics
    first, last = usages[len(usages) // 3], usages[-1]
    assert done.done > 20 * SECONDS / 10
    assert done.failed > 0
    assert sum(server.clients for server in servers) > SECONDS / 10
    assert (last.files, last.threads) == (first.files, first.threads)
    assert last.memory - first.memory < MOST_GROWTH, [usage.memory >> 20 for usage in usages]


def settled(run: LiveRun) -> Usage:
    """What is held while no source runs, and the servers have noticed."""
    run.set_sources([])
    limit = time.monotonic() + 60
    before, now = None, Usage.now()
    while run._leaving or before is None or (before.files, before.threads) != (now.files, now.threads):
        assert time.monotonic() < limit
        run.wait(1.0)
        before, now = now, Usage.now()
    return now
