"""The backbone against the original: features, state, scores and kept sets, in both selection modes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.families.vpp import golden
from tests.golden_data import Arrays, read_arrays
from vpp_deploy.families.vpp.backbone import BackboneOutput, SelectiveViTAdapter

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def backbone(vpp_golden: Path) -> SelectiveViTAdapter:
    return golden.loaded_backbone(vpp_golden)


@pytest.fixture(scope="module")
def pruned_blocks(vpp_golden: Path) -> tuple[int, ...]:
    return golden.pruned_blocks(vpp_golden)


def run(backbone: SelectiveViTAdapter, frames: np.ndarray, mode: str) -> Iterator[tuple[int, BackboneOutput]]:
    """The backbone over a clip, its state carried on."""
    state = None
    for t, frame in enumerate(frames):
        with torch.no_grad():
            output = backbone(torch.from_numpy(frame)[None], state, mode)
        state = output.state
        yield t, output


@pytest.mark.parametrize("prefix", golden.MODES)
def test_every_case(
    vpp_golden: Path, backbone: SelectiveViTAdapter, pruned_blocks: tuple[int, ...], prefix: str
) -> None:
    for case in golden.backbone_cases(vpp_golden):
        data = read_arrays(case)
        mine = {name.removeprefix(f"{prefix}_"): array for name, array in data.items() if name.startswith(prefix)}
        mine.pop("stage_c_frame1", None)
        if not mine:
            pytest.skip(f"the golden data have no {prefix} run")
        for t, output in run(backbone, data["frames"], golden.MODES[prefix]):
            check_frame(output, {name: array[t] for name, array in mine.items()}, t, pruned_blocks)


def check_frame(output: BackboneOutput, want: Arrays, t: int, pruned_blocks: tuple[int, ...]) -> None:
    for level, feature in enumerate(output.features, start=1):
        np.testing.assert_allclose(feature[0].numpy(), want[f"f{level}"], atol=golden.ATOL)
    selections = {selection.name: selection for selection in output.selections}
    assert ("map_selection" in selections) == bool(want["map_ran"]) == (t > 0)
    for number, block in enumerate(pruned_blocks):
        selection = selections[f"selection_{block}"]
        assert selection.positions[0].tolist() == np.flatnonzero(want["block_mask"][block]).tolist()
        scores = want["sm_soft"][number]
        np.testing.assert_allclose(selection.scores[0].numpy(), scores, atol=golden.ATOL)
    if t > 0:
        mapped = selections["map_selection"]
        assert mapped.positions[0].tolist() == np.flatnonzero(want["map_mask"]).tolist()
        np.testing.assert_allclose(mapped.scores[0].numpy(), want["map_soft"], atol=golden.ATOL)
    if "stage_x" in want:
        np.testing.assert_allclose(torch.cat(output.stages).numpy(), want["stage_x"], atol=golden.ATOL)
    np.testing.assert_allclose(output.matching_queries[0].numpy(), want["block1_input"], atol=golden.ATOL)
    assert output.state is not None
    positions = output.state.positions[0].long().numpy()
    assert positions.tolist() == np.flatnonzero(want["state_selector"]).tolist()
    np.testing.assert_allclose(output.state.reference[0].numpy(), want["state_x_ref"][positions], atol=golden.ATOL)
    np.testing.assert_allclose(output.state.deep[0].numpy(), want["state_x_to_map"][positions], atol=golden.ATOL)


def test_association_matches_the_original(vpp_golden: Path, backbone: SelectiveViTAdapter) -> None:
    """The original's match index counts all tokens of the previous frame; ours counts its active rows."""
    data = read_arrays(golden.backbone_cases(vpp_golden)[0])
    state = None
    for t, output in run(backbone, data["frames"], "threshold"):
        if state is not None:
            source = output.selections[0].source[0].long()
            assert state.positions[0][source].tolist() == data["thr_map_match_index"][t].tolist()
        state = output.state


@pytest.mark.parametrize("model", golden.official_sizes())
def test_official_sizes(vpp_golden: Path, model: str) -> None:
    data = read_arrays(vpp_golden / f"official_size_{model}.npz")
    config = golden.official_config(model)
    backbone = SelectiveViTAdapter(config.backbone, config.keep).eval()
    state_dict = golden.generated_state(vpp_golden, model, data)
    prefix = "backbone."
    backbone.load_state_dict({k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)})
    compared = [f"f{level}" for level in (1, 2, 3, 4) if f"f{level}" in data]
    assert compared
    for t, output in run(backbone, data["frames"], "threshold"):
        if "f1_every8th_channel" in data:
            first = output.features[0][0, ::8].numpy()
            np.testing.assert_allclose(first, data["f1_every8th_channel"][t], atol=golden.ATOL)
        for name in compared:
            feature = output.features[int(name[1:]) - 1][0].numpy()
            np.testing.assert_allclose(feature, data[name][t], atol=golden.ATOL)
        for selection in output.selections:
            block = 1 if selection.name == "map_selection" else int(selection.name.removeprefix("selection_"))
            assert selection.positions[0].tolist() == np.flatnonzero(data["block_mask"][t, block]).tolist()
        assert output.state is not None
        positions = output.state.positions[0].long().numpy()
        reference, deep = data["state_x_ref"][t][positions], data["state_x_to_map"][t][positions]
        np.testing.assert_allclose(output.state.reference[0].numpy(), reference, atol=golden.ATOL)
        np.testing.assert_allclose(output.state.deep[0].numpy(), deep, atol=golden.ATOL)
