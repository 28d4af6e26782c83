"""Programs on a display of their own. In processes: Tk ends one whose display has gone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run_on_display(script: str, folder: Path) -> str:
    """What a Python script prints that runs beside an X server of 640x480 pixels; both have ended then."""
    pytest.importorskip("tkinter", reason="this Python comes without Tk", exc_type=ImportError)
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with (folder / "xvfb.log").open("wb") as log:
        server = subprocess.Popen(command, pass_fds=[writer], stdout=log, stderr=log)
    os.close(writer)
    try:
        with os.fdopen(reader) as told:
            number = told.readline().strip()
        assert number, (folder / "xvfb.log").read_text()
        environment = {**os.environ, "DISPLAY": f":{number}"}
        ended = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    finally:
        server.terminate()
        server.wait()
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
