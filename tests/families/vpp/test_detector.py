"""Laws of the detector that need no reference data."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from vpp_deploy.families.vpp.backbone import BackboneState
from vpp_deploy.families.vpp.config import KeepSchedule, model_config
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.frame_graph import FrameGraph, GraphOptions
from vpp_deploy.families.vpp.random_weights import randomise_

SIZE = (64, 96)


def detector(keep: KeepSchedule | str = "0.55", **changes: object) -> VppDetector:
    config = replace(model_config("vpp-micro", keep), **changes)
    return randomise_(VppDetector(config), 0).eval().requires_grad_(False)


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def test_keeping_every_token_equals_dense() -> None:
    """A selection that drops nothing changes nothing, whatever its order of operations."""
    everything = KeepSchedule("custom", 1.0, (1.0, 1.0, 1.0))
    pruned = detector(everything)
    dense = VppDetector(replace(pruned.config, keep=model_config("vpp-micro", "dense").keep)).eval()
    dense.load_state_dict(pruned.state_dict(), strict=False)
    with torch.no_grad():
        state = None
        for image in images(2).split(1):
            output, expected = pruned(image, state), dense(image)
            state = output.state
            torch.testing.assert_close(output.queries, expected.queries, atol=1e-5, rtol=0)
    assert expected.state is None


def test_pruned_tokens_skip_the_blocks() -> None:
    """What the blocks of a stage do depends on kept tokens only, and pruned ones keep the injector's value."""
    model = detector()
    before, after = [], []
    blocks = model.backbone.blocks
    blocks[3].register_forward_pre_hook(lambda _, inputs: before.append(inputs[0].shape[1]))
    blocks[11].register_forward_hook(lambda _, __, output: after.append(output.shape[1]))
    with torch.no_grad():
        model(images(1))
    tokens = SIZE[0] * SIZE[1] // 256
    assert before == [int(tokens * 0.56)]
    assert after == [int(tokens * 0.358)]


def test_kept_sets_are_nested() -> None:
    model = detector()
    with torch.no_grad():
        first = model(images(1))
        second = model(images(1, seed=1), first.state)
    kept = [set(selection.positions[0].tolist()) for selection in second.backbone.selections]
    assert len(kept) == 4
    assert all(later <= earlier for earlier, later in pairwise(kept))


def test_the_state_is_a_pure_argument() -> None:
    """Same frame, same state, same result, whatever ran in between; another state, another result."""
    model = detector()
    with torch.no_grad():
        states = [model(image).state for image in images(2).split(1)]
        frame = images(1, seed=5)
        results = [model(frame, state).queries for state in (states[0], states[1], states[0])]
    assert torch.equal(results[0], results[2])
    assert not torch.allclose(results[0], results[1])


def test_batch_items_are_independent() -> None:
    model = detector()
    with torch.no_grad():
        first, second = images(2), images(2, seed=1)
        state = model(first).state
        together = model(second, state).queries
        for item in range(2):
            alone_state = BackboneState(*(tensor[item : item + 1] for tensor in state))
            alone = model(second[item : item + 1], alone_state).queries
            torch.testing.assert_close(together[item : item + 1], alone, atol=1e-5, rtol=0)


def test_a_state_without_rows_counts_as_none() -> None:
    """Threshold mode may select nothing at block 5; the next frame then starts like a first one."""
    model = detector()
    width = model.config.backbone.width
    empty = BackboneState(torch.zeros(1, 0, width), torch.zeros(1, 0, width), torch.zeros(1, 0, dtype=torch.int32))
    with torch.no_grad():
        assert torch.equal(model(images(1), empty).queries, model(images(1)).queries)


def test_threshold_mode_that_selects_nothing() -> None:
    model = detector()
    for module in model.backbone.selective_modules:
        module.mlp.fc2.bias[:] = torch.tensor([-1e4, 1e4])
    with torch.no_grad():
        output = model(images(1), mode="threshold")
        assert output.state.positions.shape == (1, 0)
        assert torch.isfinite(model(images(1), output.state, mode="threshold").queries).all()


def test_reference_tokens_of_the_paper_differ_only_in_the_reference() -> None:
    evaluation, paper = detector(), detector(reference_tokens="paper")
    with torch.no_grad():
        a, b = evaluation(images(1)), paper(images(1))
    assert torch.equal(a.queries, b.queries)
    assert torch.equal(a.state.deep, b.state.deep)
    assert not torch.allclose(a.state.reference, b.state.reference)
    rows = b.state.positions[0].long()
    assert torch.equal(b.state.reference[0], b.backbone.matching_queries[0, rows])


def test_noise_moves_the_selection_and_is_repeatable() -> None:
    model = detector()
    tokens = SIZE[0] * SIZE[1] // 256
    noise = -torch.log(
        -torch.log(torch.rand(4, 1, tokens, 2, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01)
    )
    with torch.no_grad():
        quiet = model(images(1), noise=torch.zeros_like(noise))
        loud, again = model(images(1), noise=noise * 20), model(images(1), noise=noise * 20)
        plain = model(images(1))
    assert torch.equal(quiet.state.positions, plain.state.positions)
    assert torch.equal(loud.queries, again.queries)
    assert not torch.equal(loud.state.positions, plain.state.positions)


def test_candidates_are_all_that_can_matter() -> None:
    """Every query whose class probability exceeds its threshold leaves the graph, and empty slots never count."""
    model = detector()
    graph = FrameGraph(model, GraphOptions(SIZE, max_tracks=4, max_detections=9)).eval()
    frame = torch.randint(0, 256, (*SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    tracks = torch.randn(4, model.config.head.width, generator=torch.Generator().manual_seed(2))
    valid = torch.tensor([True, True, False, False])
    size = torch.tensor(SIZE, dtype=torch.int32)
    with torch.no_grad():
        first = graph(frame, size)
        output = graph(frame, size, tracks, valid, first.state)
        image = graph.normalise(frame, size)[None]
        full = model(image, BackboneState(*(t[None] for t in first.state)), tracks[None, :2])
    probability = model.panoptic_head.class_logits(full.queries).softmax(-1)[0, :, :-1].amax(-1)
    learned = model.config.head.queries
    floor = torch.tensor([0.3] * learned + [0.25] * 2)
    matter = set(torch.nonzero(probability > floor)[:, 0].tolist())
    assert output.candidates.item() == len(matter) > 0
    assert matter <= set(output.query_indices.tolist())
    assert output.query_indices.tolist() == sorted(output.query_indices.tolist())


@pytest.mark.parametrize("content", [(64, 96), (50, 96), (64, 33)])
def test_padding_is_zero_after_normalisation(content: tuple[int, int]) -> None:
    graph = FrameGraph(detector(), GraphOptions(SIZE))
    frame = torch.full((*SIZE, 3), 200, dtype=torch.uint8)
    image = graph.normalise(frame, torch.tensor(content, dtype=torch.int32))
    inside = torch.zeros(SIZE, dtype=torch.bool)
    inside[: content[0], : content[1]] = True
    assert (image[:, inside] > 1).all()
    assert (image[:, ~inside] == 0).all()
