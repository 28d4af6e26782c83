"""GFLOPs of the paper's PaPr models and of its proposals, as this package counts them, in two markdown tables.

    python -m benchmarks.papr_flops

The first also has what the paper reports. One GFLOP is 10^9 multiply-accumulates, proposal included. Nothing is
computed and no weights are needed: shapes alone run through the models. Accuracies are the paper's (ImageNet top 1;
VideoMAE: Kinetics-400, 3×5 views).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch

from vpp_deploy.families.papr.catalogue import base_model, fitting_proposal, lookup
from vpp_deploy.families.papr.flops import FlopReport, count_flops
from vpp_deploy.families.papr.inputs import clip_of, frame_size_of
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.families.papr.names import CLIP_PROPOSALS, PROPOSALS
from vpp_deploy.families.papr.proposals import proposal

_MERGED = 16
"""Tokens merged per block: the number that reproduces the GFLOPs that the paper reports with ToMe."""


@dataclass(frozen=True)
class Row:
    """One configuration of the paper.

    Attributes:
        label: what the table calls it.
        model: its name here.
        keep: keep ratio.
        accuracy: of the dense and of the pruned model, in percent.
        gflops: of both, as the paper reports them.
        merge: tokens that each block of the later half merges.
    """

    label: str
    model: str
    keep: float
    accuracy: tuple[float, float]
    gflops: tuple[float, float]
    merge: int = 0


ROWS = (
    Row("ViT-S", "vit_small_patch16_224.augreg_in21k_ft_in1k", 0.45, (81.39, 76.21), (4.61, 2.29)),
    Row(
        "ViT-S + ToMe", "vit_small_patch16_224.augreg_in21k_ft_in1k", 0.55, (81.39, 77.76), (4.61, 2.19), merge=_MERGED
    ),
    Row("ViT-B", "vit_base_patch16_224.augreg_in21k_ft_in1k", 0.5, (84.59, 82.11), (17.59, 8.98)),
    Row("ViT-B + ToMe", "vit_base_patch16_224.augreg_in21k_ft_in1k", 0.5, (84.59, 80.88), (17.59, 6.82), merge=_MERGED),
    Row("ViT-L", "vit_large_patch16_224.augreg_in21k_ft_in1k", 0.5, (85.82, 83.87), (61.61, 30.83)),
    Row("MAE ViT-B", "mae_vit_base_patch16_224", 0.5, (83.74, 82.4), (17.59, 8.98)),
    Row("MAE ViT-L", "mae_vit_large_patch16_224", 0.5, (85.95, 85.06), (61.61, 30.83)),
    Row("MAE ViT-H", "mae_vit_huge_patch14_224", 0.5, (86.89, 86.4), (167.4, 83.04)),
    Row("ViT-M GAP 256", "vit_medium_patch16_gap_256.sw_in12k_ft_in1k", 0.5, (84.33, 81.8), (10.58, 5.5)),
    Row("ConvNeXt-B", "convnext_base.fb_in1k", 0.65, (83.84, 82.75), (15.38, 10.42)),
    Row("ConvNeXt-L", "convnext_large.fb_in1k", 0.65, (84.31, 83.26), (34.4, 22.9)),
    Row("Swin-B", "swin_base_patch4_window7_224.ms_in1k", 0.65, (83.42, 81.7), (15.47, 12.25)),
    Row("Swin-L", "swin_large_patch4_window7_224.ms_in22k_ft_in1k", 0.65, (86.25, 84.53), (34.53, 26.96)),
    Row("VideoMAE-B", "videomae_base", 0.45, (81.21, 81.18), (180, 76)),
    Row("VideoMAE-L", "videomae_large", 0.3, (85.26, 84.53), (598, 160)),
)


def report(row: Row) -> FlopReport:
    """What a row's model computes, with its default proposal."""
    entry = lookup(row.model)
    with torch.device("meta"):
        base = base_model(entry)
        model = PaprModel(base, proposal(fitting_proposal(entry, None)), row.keep, merge=row.merge)
    clip = clip_of(entry, base)
    return count_flops(model, (3, *(() if clip is None else (clip.frames,)), *frame_size_of(entry, base)))


def model_table() -> None:
    """Print the models."""
    print("| model | z | top 1, dense | top 1, PaPr | GFLOPs, dense | GFLOPs, PaPr | share | paper's GFLOPs |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in ROWS:
        found = report(row)
        cells = [
            row.label,
            f"{row.keep:g}",
            f"{row.accuracy[0]:.2f}",
            f"{row.accuracy[1]:.2f} ({row.accuracy[1] - row.accuracy[0]:+.2f})",
            f"{found.dense / 1e9:.2f}",
            f"{found.pruned / 1e9:.2f}",
            f"{found.pruned / found.dense:.0%}",
            f"{row.gflops[0]:g} → {row.gflops[1]:g}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def proposal_table() -> None:
    """Print the proposals, each in front of the smallest model of the paper that takes it."""
    print("| proposal | input | GFLOPs |")
    print("| --- | --- | --- |")
    bases = {}
    with torch.device("meta"):
        for name, model in (("images", ROWS[0].model), ("clips", "videomae_base")):
            bases[name] = base_model(lookup(model))
    for name in PROPOSALS:
        kind, shape = ("clips", (3, 16, 224, 224)) if name in CLIP_PROPOSALS else ("images", (3, 224, 224))
        with torch.device("meta"):
            model = PaprModel(bases[kind], proposal(name), 0.5)
        cost = count_flops(model, shape).proposal
        print(f"| {name} | {'×'.join(map(str, shape[1:]))} | {cost / 1e9:.2f} |", flush=True)


def main() -> None:
    """Print both tables."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    model_table()
    print()
    proposal_table()


if __name__ == "__main__":
    main()
