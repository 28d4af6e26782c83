"""The backbone against the original: features, state, scores and kept sets, in both selection modes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.models import golden
from vpp_deploy.models.backbone import BackboneOutput, SelectiveViTAdapter

pytestmark = pytest.mark.golden
MODES = {"thr": "threshold", "stk": "topk"}


@pytest.fixture(scope="module")
def backbone(vpp_golden: Path) -> SelectiveViTAdapter:
    model = SelectiveViTAdapter(*golden.micro_backbone(vpp_golden))
    model.load_state_dict(safetensors.torch.load_file(vpp_golden / "backbone_micro.safetensors"), strict=True)
    return model.eval()


@pytest.mark.parametrize("prefix", MODES)
def test_every_case(vpp_golden: Path, backbone: SelectiveViTAdapter, prefix: str) -> None:
    cases = sorted(vpp_golden.glob("backbone_micro_case*.npz"))
    assert cases
    for case in cases:
        data = golden.arrays(case)
        state = None
        for t, frame in enumerate(data["frames"]):
            with torch.no_grad():
                output = backbone(torch.from_numpy(frame)[None], state, MODES[prefix])
            mine = {name.removeprefix(f"{prefix}_"): array for name, array in data.items() if name.startswith(prefix)}
            mine.pop("stage_c_frame1", None)
            check_frame(output, {name: array[t] for name, array in mine.items()}, t)
            state = output.state


def check_frame(output: BackboneOutput, want: dict[str, np.ndarray], t: int) -> None:
    for level, feature in enumerate(output.features, start=1):
        np.testing.assert_allclose(feature[0].numpy(), want[f"f{level}"], atol=golden.ATOL)
    selections = {selection.name: selection for selection in output.selections}
    assert ("map_selection" in selections) == bool(want["map_ran"]) == (t > 0)
    for block in (3, 6, 9):
        selection = selections[f"selection_{block}"]
        assert selection.positions[0].tolist() == np.flatnonzero(want["block_mask"][block]).tolist()
        scores = want["sm_soft"][block // 3 - 1]
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
    data = golden.arrays(sorted(vpp_golden.glob("backbone_micro_case*.npz"))[0])
    state = None
    for t, frame in enumerate(data["frames"]):
        with torch.no_grad():
            output = backbone(torch.from_numpy(frame)[None], state, "threshold")
        if state is not None:
            source = output.selections[0].source[0].long()
            assert state.positions[0][source].tolist() == data["thr_map_match_index"][t].tolist()
        state = output.state


@pytest.mark.parametrize("model", ["tiny", "small_fixed"])
def test_official_sizes(vpp_golden: Path, model: str) -> None:
    data = golden.arrays(vpp_golden / f"official_size_{model}.npz")
    config = golden.official_config(model)
    backbone = SelectiveViTAdapter(config.backbone, config.keep).eval()
    state_dict = golden.generated_state(vpp_golden, model, data)
    prefix = "backbone."
    backbone.load_state_dict({k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)})
    state = None
    for t, frame in enumerate(data["frames"]):
        with torch.no_grad():
            output = backbone(torch.from_numpy(frame)[None], state, "threshold")
        state = output.state
        np.testing.assert_allclose(output.features[0][0, ::8].numpy(), data["f1_every8th_channel"][t], atol=golden.ATOL)
        for level in (2, 3, 4):
            np.testing.assert_allclose(output.features[level - 1][0].numpy(), data[f"f{level}"][t], atol=golden.ATOL)
        for selection in output.selections:
            block = 1 if selection.name == "map_selection" else int(selection.name.removeprefix("selection_"))
            assert selection.positions[0].tolist() == np.flatnonzero(data["block_mask"][t, block]).tolist()
        positions = state.positions[0].long().numpy()
        reference, deep = data["state_x_ref"][t][positions], data["state_x_to_map"][t][positions]
        np.testing.assert_allclose(state.reference[0].numpy(), reference, atol=golden.ATOL)
        np.testing.assert_allclose(state.deep[0].numpy(), deep, atol=golden.ATOL)
