"""Token merging: the reference and the portable bodies agree, sizes and weighted sums are conserved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.test_ops import FORMS, run_node
from vpp_deploy import ops

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None)
@given(
    seed=seeds,
    batch=st.integers(1, 3),
    n=st.integers(4, 40),
    r=st.integers(1, 30),
    prefix=st.integers(0, 2),
    ties=st.booleans(),
)
def test_match_tokens_is_the_same_everywhere(form, seed, batch, n, r, prefix, ties):
    rng = np.random.default_rng(seed)
    metric = rng.standard_normal((batch, n, 6)).astype(np.float32)
    if ties:  # one-hot vectors: similarities are exactly 0 or 1
        metric = np.eye(6, dtype=np.float32)[rng.integers(0, 6, (batch, n))]
    reference = ops.match_tokens(torch.from_numpy(metric), r, prefix)
    assert np.array_equal(reference, naive_match(metric, r, prefix))
    r = ops.mergeable(n, r, prefix)
    got = run_node("MatchTokens", form, {"metric": metric}, np.int32, 2, r=r, prefix=prefix)
    assert got.dtype == np.int32
    assert np.array_equal(got, reference)


def naive_match(metric: np.ndarray, r: int, prefix: int) -> np.ndarray:
    """ToMe's matching written as loops over single tokens."""
    rows = []
    for sample in metric:
        n = len(sample)
        r = min(r, (n - prefix) // 2)
        unit = sample / np.maximum(np.linalg.norm(sample, axis=1, keepdims=True), 1e-12)
        candidates = []
        for a in range(0, n, 2):
            partners = [(-float(unit[a] @ unit[b]), b) for b in range(1, n, 2) if b >= prefix]
            distance, partner = min(partners)
            candidates.append((np.inf if a < prefix else round(distance, 6), a, partner))
        candidates.sort()
        merged = {a: partner for _, a, partner in candidates[:r]}
        unmerged = [a for _, a, _ in candidates[r:]]
        order = [*(sorted(unmerged) if prefix else unmerged), *range(1, n, 2)]
        order.sort(key=lambda token: min(token, prefix))  # the prefix first, all else as it is
        rows.append([order.index(merged.get(token, token)) for token in range(n)])
    return np.array(rows, np.int32)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None)
@given(seed=seeds, batch=st.integers(1, 3), n=st.integers(1, 30), c=st.integers(1, 5), data=st.data())
def test_merge_tokens_adds_up_rows(form, seed, batch, n, c, data):
    count = data.draw(st.integers(1, n))
    rng = np.random.default_rng(seed)
    tokens = rng.standard_normal((batch, n, c)).astype(np.float32)
    rows = rng.integers(0, count, (batch, n)).astype(np.int32)
    expected = np.zeros((batch, count, c), np.float32)
    for b in range(batch):
        np.add.at(expected[b], rows[b], tokens[b])
    reference = ops.merge_tokens(torch.from_numpy(tokens), torch.from_numpy(rows), count)
    got = run_node("MergeTokens", form, {"tokens": tokens, "rows": rows}, np.float32, 3, count=count)
    np.testing.assert_allclose(reference, expected, atol=1e-5)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, n=st.integers(4, 40), r=st.integers(0, 40), prefix=st.integers(0, 2))
def test_size_and_weighted_mean_are_conserved(seed, n, r, prefix):
    rng = np.random.default_rng(seed)
    tokens, metric = (torch.from_numpy(rng.standard_normal((2, n, 5))) for _ in range(2))
    size = torch.from_numpy(rng.integers(1, 5, (2, n, 1)).astype(float))
    rows = ops.match_tokens(metric, r, prefix)
    count = n - ops.mergeable(n, r, prefix)
    assert sorted(set(rows[0].tolist())) == list(range(count))
    for token in range(prefix):
        assert (rows == token).sum(1).tolist() == [1, 1]
        assert rows[:, token].tolist() == [token, token]
    merged, sizes = ops.merge_tokens(tokens * size, rows, count), ops.merge_tokens(size, rows, count)
    torch.testing.assert_close(sizes.sum(1), size.sum(1))
    torch.testing.assert_close(merged.sum(1) / sizes.sum(1), (tokens * size).sum(1) / size.sum(1))


def test_nothing_to_merge_leaves_the_order_alone():
    metric = torch.randn(2, 5, 3)
    assert ops.match_tokens(metric, 0).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert ops.match_tokens(metric[:, :1], 3, prefix=1).tolist() == [[0]] * 2
