"""PaPr on VideoMAE against the original: maps, kept tokens in order, tokens, pooled features, logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.families.papr import networks
from tests.families.papr.golden import ATOL, pruned_cases
from tests.golden_data import PAPR, Model, by_place, check_choice
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.families.papr.names import CLIP_PROPOSALS
from vpp_deploy.families.papr.proposals import ClipProposal
from vpp_deploy.families.papr.significance import clip_significance
from vpp_deploy.families.papr.weights import videomae_tensors
from vpp_deploy.ops import select_tokens

pytestmark = pytest.mark.golden
FAMILIES = ("videomae*",)
NAMES = {"x3ds": "x3d_s", "x3dm": "x3d_m", "slowonly_resnet50": "slowonly_r50"}


@pytest.mark.parametrize(("golden", "case"), pruned_cases(*FAMILIES))
def test_case(golden: Model, case: str) -> None:
    model = networks.video_mae(golden.config["model"])
    position = golden.weights["backbone.pos_embed"]
    torch.testing.assert_close(model.videomae.embeddings.position_embeddings, position)
    model.load_state_dict(videomae_tensors(golden.weights, model.state_dict()), strict=True)
    papr = PaprModel(model, None, golden.config["cases"][case]["z"])
    seen: dict[str, torch.Tensor] = {}

    def note(module: torch.nn.Module, name: str) -> None:
        module.register_forward_hook(lambda _, arguments, out: seen.update({name: out}))

    layers = model.videomae.encoder.layer
    layers[0].register_forward_hook(lambda _, arguments, out: seen.update({f"{case}/tokens_post": arguments[0]}))
    note(layers[-1], f"{case}/block_last_out")
    note(model.videomae.embeddings, "tokens_pre")
    note(model.fc_norm, f"{case}/features")
    proposal = case.split("/")[0]
    with torch.no_grad():
        output = papr(golden.tensor("clip"), golden.tensor(f"{proposal}/prop_feat"))
    golden.check_values(f"{case}/logits", output.logits, ATOL)
    golden.check_values(f"{case}/features", seen[f"{case}/features"], ATOL)
    golden.check_values("tokens_pre", seen["tokens_pre"], ATOL)
    tokens = [name for name in (f"{case}/tokens_post", f"{case}/block_last_out") if name in golden.arrays]
    if papr.keep == 1:
        for name in tokens:
            golden.check_values(name, seen[name], ATOL)
        return
    psm = golden.tensor(f"{proposal}/psm3d")
    np.testing.assert_allclose(output.significance[0], F.normalize(psm.flatten(1)).view_as(psm), atol=ATOL)
    kept, theirs = output.kept[0].numpy(), golden.arrays[f"{case}/kept_idx"]
    check_choice(kept, theirs, output.significance[0].flatten(1).numpy(), case)
    for name in tokens:
        want, have = by_place(golden.arrays[name], theirs), by_place(seen[name].numpy(), kept)
        np.testing.assert_allclose(have, want, rtol=0, atol=ATOL, err_msg=name)


@pytest.mark.parametrize("golden", PAPR.parameters(*FAMILIES))
def test_whole_ranking_and_proposal_input(golden: Model) -> None:
    clip, grid = golden.tensor("clip"), tuple(golden.config["model"]["grid_thw"])
    for prefix, name in NAMES.items():
        if f"{prefix}/prop_feat" not in golden.arrays:
            continue
        significance = clip_significance(golden.tensor(f"{prefix}/prop_feat"), grid).flatten(1)
        ranking = select_tokens(significance, significance.shape[1], by_position=False)
        if f"{prefix}/rank_all" in golden.arrays:
            check_choice(ranking.numpy(), golden.arrays[f"{prefix}/rank_all"], significance.numpy(), prefix)
        resized = ClipProposal(torch.nn.Identity(), CLIP_PROPOSALS[name]).resize(clip)
        golden.check_values(f"{prefix}/proposal_input_sub16", resized[:1, :, :, ::16, ::16], ATOL)
        assert list(resized.shape) == golden.config["cases"][prefix]["proposal_input_shape"]
