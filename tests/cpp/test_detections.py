"""The C++ detections are those of the Python package.

Logits are summed in another order than numpy's matrix products and sums, so they differ by rounding: a mask pixel whose
logit is within 1e-4 of zero may fall to either side, and scores agree to 1e-6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cpp.runtime import Runtime
from tests.tasks.segmentation.tracking.reference import assert_masks_follow, two_step_logits
from vpp_deploy.frames import Size
from vpp_deploy.tasks.segmentation.tracking.detections import decode_detections

Case = dict[str, Any]


def random_logits(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Noise over a background that makes anything from empty to full masks, in the middle or at the edge."""
    y, x = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(y - rng.uniform(0, size[0]), x - rng.uniform(0, size[1]))
    blob = rng.uniform(-0.2, 1) * np.hypot(*size) - distance
    return (blob * rng.uniform(0.5, 5) + rng.normal(0, rng.choice([0, 1]), size)).astype(np.float32)


def random_case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    count, classes = int(rng.integers(0, 8)), int(rng.integers(1, 50))
    size = tuple(int(length) for length in rng.integers(1, 24, 2))
    padded = tuple(4 * length for length in size)
    rows = rng.choice(40, count, replace=False).astype(np.int32)
    case = {
        "class_logits": rng.normal(0, 2, (count, classes + 1)).astype(np.float32),
        "mask_logits": np.array([random_logits(rng, size) for _ in range(count)], np.float32).reshape(count, *size),
        "query_indices": rows,
        "padded": padded,
        "content": tuple(int(rng.integers(1, length + 1)) for length in padded),
        "original": tuple(int(length) for length in rng.integers(1, 150, 2)),
        "max_instances": int(rng.integers(0, 2 * count + 2)),
    }
    if rng.random() < 0.5:
        case["score_floor"] = rng.uniform(0, 0.4, count).astype(np.float32)
    return case


def python_decodes(case: Case) -> Any:
    return decode_detections(
        case["class_logits"],
        case["mask_logits"],
        case["query_indices"],
        padded_size=case["padded"],
        content_size=case["content"],
        original_size=case["original"],
        max_instances=case["max_instances"],
        score_floor=case.get("score_floor"),
    )


def check(runtime: Runtime, cases: list[Case]) -> None:
    for case, ours in zip(cases, runtime.run("detections", cases), strict=True):
        expected = python_decodes(case)
        np.testing.assert_array_equal(ours["query_indices"], expected.query_indices)
        np.testing.assert_array_equal(ours["rows"], expected.rows)
        np.testing.assert_array_equal(ours["labels"], expected.labels)
        if not len(expected):
            continue
        sizes = case["padded"], case["content"], case["original"]
        logits = two_step_logits(case["mask_logits"], *sizes)[expected.rows]
        assert_masks_follow(ours["masks"].astype(bool), expected.masks, logits)
        same = (ours["masks"] == expected.masks).all(axis=(1, 2))
        assert same.mean() > 0.8
        np.testing.assert_array_equal(np.array(ours["boxes"])[same], expected.boxes[same])
        np.testing.assert_allclose(ours["scores"][same], expected.scores[same], rtol=0, atol=1e-6)


@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=20, max_size=30))
@settings(max_examples=5, deadline=None)
def test_random_candidates(runtime: Runtime, seeds: list[int]) -> None:
    check(runtime, [random_case(seed) for seed in seeds])


def test_a_frame_of_a_video(runtime: Runtime) -> None:
    rng = np.random.default_rng(0)
    case = {
        "class_logits": rng.normal(0, 3, (12, 41)).astype(np.float32),
        "mask_logits": np.stack([random_logits(rng, (96, 160)) for _ in range(12)]),
        "query_indices": np.arange(12, dtype=np.int32),
        "padded": (384, 640),
        "content": (360, 640),
        "original": (720, 1280),
        "max_instances": 20,
    }
    check(runtime, [case])


def small_case(**changes: Any) -> Case:
    case = {
        "class_logits": np.zeros((2, 3), np.float32),
        "mask_logits": np.ones((2, 16, 24), np.float32),
        "query_indices": np.array([7, 5], np.int32),
        "padded": (64, 96),
        "content": (58, 90),
        "original": (87, 135),
        "max_instances": 3,
    }
    return case | changes


def test_ties_empty_masks_and_large_logits(runtime: Runtime) -> None:
    large = np.full((2, 16, 24), 500, np.float32)
    large[:, 15, 23] = -500
    cases = [
        small_case(),
        small_case(max_instances=0),
        small_case(mask_logits=np.full((2, 16, 24), -3, np.float32)),
        small_case(mask_logits=large, class_logits=np.array([[9, 0, 0], [0, 90, 900]], np.float32)),
        small_case(score_floor=np.array([1 / 3, 0.3], np.float32)),
    ]
    check(runtime, cases)


def test_logits_that_are_no_numbers_come_last_and_are_below_every_floor(runtime: Runtime) -> None:
    logits = np.array([[np.nan, 1, 2], [0, 1, 2]], np.float32)
    without_floor = small_case(class_logits=logits, max_instances=4)
    cases = [without_floor, without_floor | {"score_floor": np.zeros(2, np.float32)}]
    for case, ours in zip(cases, runtime.run("detections", cases), strict=True):
        expected = python_decodes(case)
        np.testing.assert_array_equal(ours["query_indices"], expected.query_indices)
        np.testing.assert_array_equal(ours["labels"], expected.labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"content": (65, 90)}, "padded 64, content 65"),
        ({"original": (0, 135)}, "source picture of 0 x 135 pixels"),
        ({"score_floor": np.zeros(3, np.float32)}, "2 rows and 3 score floors"),
        ({"max_instances": -1}, "of which -1 are kept"),
    ],
)
def test_impossible_input_is_refused(runtime: Runtime, changes: Case, message: str) -> None:
    (result,) = runtime.run("detections", [small_case(**changes)])
    assert result["error"] == "UsageError"
    assert message in result["message"]
