"""PaPr on VideoMAE against the original: maps, kept tokens in order, tokens, pooled features, logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.models.papr import golden, networks
from vpp_deploy.models.papr.model import PaprModel
from vpp_deploy.models.papr.names import CLIP_PROPOSALS
from vpp_deploy.models.papr.proposals import ClipProposal
from vpp_deploy.models.papr.significance import clip_significance
from vpp_deploy.models.papr.weights import videomae_tensors
from vpp_deploy.ops import select_tokens

pytestmark = pytest.mark.golden
FAMILIES = ("videomae*",)
NAMES = {"x3ds": "x3d_s", "x3dm": "x3d_m", "slowonly_resnet50": "slowonly_r50"}


@pytest.mark.parametrize(("folder", "case"), golden.described_cases("cases", *FAMILIES))
def test_case(folder: Path, case: str) -> None:
    family = golden.family(folder)
    model = networks.video_mae(family.config["model"])
    position = family.weights["backbone.pos_embed"]
    torch.testing.assert_close(model.videomae.embeddings.position_embeddings, position)
    model.load_state_dict(videomae_tensors(family.weights), strict=True)
    papr = PaprModel(model, None, family.config["cases"][case]["z"])
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
        output = papr(family.tensor("clip"), family.tensor(f"{proposal}/prop_feat"))
    for name, tensor in {**seen, f"{case}/logits": output.logits}.items():
        if family.order_is_certain(f"{case}/kept_idx") or not name.endswith(("tokens_post", "last_out")):
            family.check_values(name, tensor)
        elif name in family.arrays:
            check_rows(family, name, tensor, f"{case}/kept_idx", output.kept[0])
    if papr.keep < 1:
        psm = family.tensor(f"{proposal}/psm3d")
        np.testing.assert_allclose(output.significance[0], F.normalize(psm.flatten(1)).view_as(psm), atol=golden.ATOL)
        family.check_positions(f"{case}/kept_idx", output.kept[0], output.significance[0].flatten(1))


def check_rows(family: golden.Family, name: str, tokens: torch.Tensor, order: str, kept: torch.Tensor) -> None:
    """Compare tokens patch by patch, whatever their order."""
    mine, theirs = np.argsort(kept.numpy()), np.argsort(family.arrays[order])
    for b in range(len(mine)):
        np.testing.assert_allclose(tokens[b].numpy()[mine[b]], family.arrays[name][b][theirs[b]], atol=golden.ATOL)


@pytest.mark.parametrize("folder", golden.families(*FAMILIES))
def test_whole_ranking_and_proposal_input(folder: Path) -> None:
    family = golden.family(folder)
    clip, grid = family.tensor("clip"), tuple(family.config["model"]["grid_thw"])
    for prefix, name in NAMES.items():
        if f"{prefix}/prop_feat" not in family.arrays:
            continue
        significance = clip_significance(family.tensor(f"{prefix}/prop_feat"), grid).flatten(1)
        ranking = select_tokens(significance, significance.shape[1], by_position=False)
        family.check_positions(f"{prefix}/rank_all", ranking, significance)
        resized = ClipProposal(torch.nn.Identity(), CLIP_PROPOSALS[name]).resize(clip)
        family.check_values(f"{prefix}/proposal_input_sub16", resized[:1, :, :, ::16, ::16])
        assert list(resized.shape) == family.config["cases"][prefix]["proposal_input_shape"]
