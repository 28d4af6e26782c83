"""What the handler of a signal raises while an engine works comes out as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vpp_deploy
from vpp_deploy.bundle import Bundle

SCRIPT = """
import signal, sys
import numpy as np
import vpp_deploy

class Late(Exception):
    pass

def late(number, frame):
    raise kind("too late")

model = vpp_deploy.load(sys.argv[1], engine=sys.argv[2], threads=1)
frame = np.full((128, 192, 3), 60, np.uint8)
signal.signal(signal.SIGALRM, late)
session = model.session()
session(frame)
for turn in range(30):
    kind = (TimeoutError, RuntimeError, Late)[turn % 3]
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0007 * turn)
        while True:
            session(frame)
    except Exception as error:
        print(type(error).__name__, error)
"""

ON = """
import signal, sys, time
from dataclasses import replace
import numpy as np
import vpp_deploy
from vpp_deploy.demo.scenes import render_clip

class Late(Exception):
    pass

def late(number, frame):
    raise Late

model = vpp_deploy.load(sys.argv[1], engine=sys.argv[2], threads=1)
frames = list(render_clip("val", 1, 0, frames=24, size=model.frame_size).frames)
alone, begin = model.session(), time.perf_counter()
expected = [alone(frame) for frame in frames]
step = (time.perf_counter() - begin) / len(frames)
signal.signal(signal.SIGALRM, late)
session, interrupted = model.session(), 0
for number, frame in enumerate(frames):
    try:
        signal.setitimer(signal.ITIMER_REAL, step * (number + 1) / len(frames))
        result = session(frame)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Late:
        interrupted += 1
        if session.session.next_index > number:
            continue
        result = session(frame)
    assert result.index == number
    assert np.array_equal(result.instances.boxes, expected[number].instances.boxes)
    assert np.array_equal(result.instances.identities, expected[number].instances.identities)
ours, theirs = (replace(one.snapshot(), noise={}).to_bytes() for one in (session, alone))  # of which there is none
assert ours == theirs
print(interrupted)
"""


@pytest.fixture(scope="session")
def bundle(micro_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With engines of two kinds. Shared: do not write to it."""
    copy = Bundle.open(shutil.copytree(micro_bundle.path, tmp_path_factory.mktemp("interrupted") / "micro.bundle"))
    vpp_deploy.build_engine(copy, "openvino")
    return copy


def lines(script: str, *arguments: str | Path) -> list[str]:
    """What a process prints, which has signals of its own."""
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_what_a_signals_handler_raises_is_not_told_as_an_error_of_the_engine(bundle: Bundle, engine: str) -> None:
    assert (
        lines(SCRIPT, bundle.path, engine) == ["TimeoutError too late", "RuntimeError too late", "Late too late"] * 10
    )


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_video_goes_on_after_an_interruption_as_if_there_had_been_none(bundle: Bundle, engine: str) -> None:
    (interrupted,) = lines(ON, bundle.path, engine)
    assert int(interrupted) > 0
