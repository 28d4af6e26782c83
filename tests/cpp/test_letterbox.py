"""The C++ letterbox gives the bytes that the Python package gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cpp.runtime import Runtime
from vpp_deploy.frames import Size
from vpp_deploy.media.letterbox import letterbox

lengths = st.integers(1, 90)
sizes = st.tuples(lengths, lengths)


def check(runtime: Runtime, cases: list[tuple[Size, Size]]) -> None:
    rng = np.random.default_rng(len(cases))
    images = [rng.integers(0, 256, (*original, 3), np.uint8) for original, _ in cases]
    results = runtime.run("letterbox", [{"image": i, "size": size} for i, (_, size) in zip(images, cases, strict=True)])
    for image, (_, size), result in zip(images, cases, results, strict=True):
        boxed, content = letterbox(image, size)
        assert tuple(result["content"]) == content
        np.testing.assert_array_equal(result["image"], boxed)


@given(cases=st.lists(st.tuples(sizes, sizes), min_size=20, max_size=40))
@settings(max_examples=5, deadline=None)
def test_random_sizes(runtime: Runtime, cases: list[tuple[Size, Size]]) -> None:
    check(runtime, cases)


def test_sizes_of_videos(runtime: Runtime) -> None:
    cases = [((720, 1280), (384, 640)), ((1080, 1920), (384, 640)), ((480, 360), (384, 640)), ((384, 640), (384, 640))]
    check(runtime, [*cases, ((200, 640), (384, 640)), ((1, 3000), (384, 640)), ((3000, 1), (384, 640))])


def test_impossible_sizes_are_refused(runtime: Runtime) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    for result in runtime.run("letterbox", [{"image": image, "size": size} for size in [(0, 4), (4, -1), (4, 2**40)]]):
        assert result["error"] == "UsageError"
        assert "give lengths from 1 to 2^20" in result["message"]
