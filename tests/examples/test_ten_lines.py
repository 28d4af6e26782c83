"""Each of the short examples runs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vpp_deploy as vd
from tests.conftest import REPOSITORY
from tests.media.clips import write_clip

EXAMPLES = REPOSITORY / "examples" / "ten_lines"
LINES = 20
"""With imports and blank lines."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what examples read."""
    folder = tmp_path_factory.mktemp("files")
    write_clip(folder / "clip.mp4", frames=4, size=(60, 90))
    (folder / "pictures").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (50, 70, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{number}.png")
    return folder


USES = {
    "classify_a_folder": ("papr", "pictures"),
    "frames_from_numpy": ("vpp",),
    "how_fast": ("vpp",),
    "masks_as_numpy": ("vpp", "clip.mp4"),
    "metadata": ("vpp",),
    "other_libraries": ("vpp", "clip.mp4"),
    "own_classes": ("classes.bundle",),
    "own_configuration": ("vpp", "mine.bundle"),
    "own_drawing": ("vpp", "clip.mp4", "drawn.mp4"),
    "own_model_in_memory": ("own.bundle",),
    "save_and_restore": ("vpp", "clip.mp4", "state.bin"),
    "swap_the_engine": ("vpp", "clip.mp4"),
}


EXPORTS = ("own_configuration",)
"""What takes long, and is like another one that is tried."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.slow if path.stem in EXPORTS else ())
        for path in sorted(EXAMPLES.glob("*.py"))
    ],
    ids=lambda path: path.stem,
)
def test_it_runs_and_is_short(
    path: Path,
    files: Path,
    micro_bundle: vd.Bundle,
    papr_bundle: vd.Bundle,
    one_thread: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if path.stem == "other_libraries":
        pytest.importorskip("pandas")
        pytest.importorskip("supervision")
    bundles = {"vpp": str(micro_bundle.path), "papr": str(papr_bundle.path)}
    words = [bundles.get(word, str(files / word)) for word in USES[path.stem]]
    monkeypatch.setattr(sys, "argv", [str(path), *words])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
    assert len(path.read_text().splitlines()) <= LINES
