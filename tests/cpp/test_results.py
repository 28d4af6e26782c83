"""The lines that the C++ library writes hold what the Python package writes; masks are encoded as by pycocotools."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cpp.runtime import Runtime
from tests.tasks.segmentation.fakes import make_instances, make_result
from vpp_deploy.tasks.segmentation.results import FrameResult
from vpp_deploy.tasks.segmentation.writers import JsonLinesWriter

NAMES = ("person", "giant panda", "Wäschebär \U0001f99d")


def random_mask(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """From empty to full, from noise to blocks that touch any edge."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return np.full(size, bool(rng.integers(0, 2)))
    if kind == 1:
        return rng.random(size) < rng.random()
    mask = np.zeros(size, bool)
    top, left = (int(rng.integers(0, length)) for length in size)
    mask[top : top + rng.integers(1, size[0] + 1), left : left + rng.integers(1, size[1] + 1)] = True
    return mask if kind == 2 else ~mask


def random_result(rng: np.random.Generator, size: tuple[int, int] | None = None) -> FrameResult:
    size = size or (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
    masks = [random_mask(rng, size) for _ in range(rng.integers(0, 6))]
    instances = make_instances(
        masks,
        size,
        scores=rng.random(len(masks)).tolist(),
        labels=rng.integers(0, len(NAMES), len(masks)).tolist(),
        identities=rng.permutation(1000)[: len(masks)].tolist(),
    )
    kept = {"map_selection": [0, 3], "selection_3": [3]} if rng.random() < 0.5 else {}
    time = Fraction(int(rng.integers(0, 9999)), 30000) if rng.random() < 0.5 else None
    return make_result(instances, kept=kept, grid=(3, 5), index=int(rng.integers(0, 10**6)), time=time)


def as_case(result: FrameResult, name: str) -> dict[str, Any]:
    instances = result.instances
    return {
        "index": result.index,
        "time": None if result.time is None else float(result.time),
        "name": name,
        "size": result.original_size,
        "grid": result.grid,
        "candidates_dropped": result.candidates_dropped,
        "tracks_not_fed": result.tracks_not_fed,
        "seconds": dict(result.seconds),
        "kept": {point: np.asarray(positions, np.int32) for point, positions in result.kept.items()},
        "instances": [
            {
                "identity": int(instances.identities[n]),
                "label": int(instances.labels[n]),
                "score": instances.scores[n : n + 1],
                "box": [int(side) for side in instances.boxes[n]],
                "mask": instances.masks[n],
            }
            for n in range(len(instances))
        ],
    }


def write_both(runtime: Runtime, folder: Path, results: list[FrameResult], name: str = "") -> tuple[Path, Path]:
    """Files with the same results: from Python, from C++."""
    python, cpp = folder / "python.jsonl", folder / "cpp.jsonl"
    with JsonLinesWriter(python, NAMES) as writer:
        for result in results:
            writer.write(result, name=name)
    frames = [as_case(result, name) for result in results]
    assert runtime.run("results", [{"path": str(cpp), "class_names": NAMES, "frames": frames, "close": True}]) == [{}]
    return python, cpp


def lines(path: Path) -> list[Any]:
    """Each line as pairs, so that the order of fields counts."""
    return [json.loads(line, object_pairs_hook=list) for line in path.read_text("ascii").splitlines()]


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=6, deadline=None)
def test_random_results(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    name = random.Random(seed).choice(["", "7.png", "ü\n\x7f.png"])
    python, cpp = write_both(runtime, tmp_path_factory.mktemp("lines"), [random_result(rng) for _ in range(40)], name)
    assert lines(cpp) == lines(python)


def test_masks_of_videos(runtime: Runtime, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    python, cpp = write_both(runtime, tmp_path, [random_result(rng, (480, 853)) for _ in range(4)])
    assert lines(cpp) == lines(python)


def unfinished(runtime: Runtime, path: Path, frames: list[dict[str, Any]]) -> Any:
    (result,) = runtime.run("results", [{"path": str(path), "class_names": NAMES, "frames": frames, "close": False}])
    return result


def test_without_close_complete_lines_are_kept_aside(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before")
    rng = np.random.default_rng(0)
    frames = [as_case(random_result(rng), "") for _ in range(3)]
    unfinished(runtime, path, frames)
    assert path.read_text() == "before"
    assert len(lines(tmp_path / "out.jsonl.partial")) == 3
    assert {file.name for file in tmp_path.iterdir()} == {"out.jsonl", "out.jsonl.partial"}


def test_without_a_line_nothing_is_kept(runtime: Runtime, tmp_path: Path) -> None:
    unfinished(runtime, tmp_path / "out.jsonl", [])
    assert not list(tmp_path.iterdir())


def test_a_finished_file_replaces_an_older_one_and_has_usual_permissions(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "cpp.jsonl").write_text("before")
    python, cpp = write_both(runtime, tmp_path, [make_result(make_instances([], (20, 30)))])
    assert lines(cpp) == lines(python)
    assert cpp.stat().st_mode == python.stat().st_mode
    assert {file.name for file in tmp_path.iterdir()} == {"cpp.jsonl", "python.jsonl"}


def test_an_output_that_cannot_be_written(runtime: Runtime, tmp_path: Path) -> None:
    assert "is not a folder that exists" in unfinished(runtime, tmp_path / "no" / "out.jsonl", [])["message"]
    assert "this is a folder" in unfinished(runtime, tmp_path, [])["message"]
