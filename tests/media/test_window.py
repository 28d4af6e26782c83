"""The window of `--show`, on a display of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media.displays import run_on_display
from vpp_deploy.errors import DeviceError
from vpp_deploy.media.window import Window

_SCRIPT = """
import numpy as np
from vpp_deploy.media.window import Window

with Window("a title") as window:
    print(window.update())
    for size in ((20, 30), (1000, 2000)):
        window.put(np.zeros((*size, 3), np.uint8))
    print(window.update(), window._photo.width(), window._photo.height())
    window._root.event_generate("<q>")
    print(window.update(), window.update())
"""


def test_the_newest_picture_is_shown_no_larger_than_the_screen(tmp_path: Path) -> None:
    assert run_on_display(_SCRIPT, tmp_path).split() == ["True", "True", "576", "288", "False", "False"]


def test_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tkinter", reason="this Python comes without Tk", exc_type=ImportError)
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DeviceError, match="--show finds no display"):
        Window("a title")
