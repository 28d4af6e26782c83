"""`vpp-deploy models`: what can be exported."""

from __future__ import annotations

from typing import Any

from vpp_deploy.cli import console
from vpp_deploy.cli.options import JsonFlag
from vpp_deploy.models.config import KEEP_SCHEDULES, MODELS
from vpp_deploy.models.datasets import DATASETS
from vpp_deploy.models.papr.names import CATALOGUE, CLIP_PROPOSALS, IMAGE_PROPOSALS, PREFIX
from vpp_deploy.models.shipped import SHIPPED_MODELS

EXAMPLES = ("vpp-deploy models", "vpp-deploy models --json")


def command(json: JsonFlag = False) -> None:
    """List the models, keep schedules, data sets and proposals that `vpp-deploy export` knows."""
    catalogue = _catalogue()
    if json:
        console.print_json(catalogue)
        return
    _show_vpp(catalogue)
    console.say("")
    _show_papr(catalogue)


def _show_vpp(catalogue: dict[str, Any]) -> None:
    models = console.table(
        "model", "width", "heads", "queries", "size", "default data set", "weights", title="VPP models"
    )
    for name, model in catalogue["models"].items():
        models.add_row(
            name,
            *(str(model[key]) for key in ("width", "heads", "queries")),
            console.height_by_width(model["frame_size"]),
            model["dataset"],
            "shipped" if model["weights_shipped"] else "",
        )
    schedules = console.table("--keep", "block 1", "block 3", "block 6", "block 9", title="Keep schedules")
    for name, schedule in catalogue["keep_schedules"].items():
        ratios = [schedule["mapping"], *schedule["selective"]]
        schedules.add_row(name, *([str(ratio) for ratio in ratios] if schedule["selective"] else ["1"] * 4))
    datasets = console.table("--dataset", "classes", "", title="Data sets")
    for name, classes in catalogue["datasets"].items():
        datasets.add_row(name, str(len(classes)), ", ".join(classes[:5]) + (", …" if len(classes) > 5 else ""))

    console.show(models)
    console.say("")
    console.show(schedules)
    console.say("Share of all tokens that is kept from a block on. Your own: four ratios that do not grow,")
    console.say("such as --keep 0.7,0.56,0.448,0.358")
    console.say("")
    console.show(datasets)


def _show_papr(catalogue: dict[str, Any]) -> None:
    models = console.table("model", "input", "default proposal", "weights", title="PaPr models")
    for name, model in catalogue["papr_models"].items():
        models.add_row(name, model["input"], model["proposal"], _origin(model["published"]))
    proposals = console.table("--proposal", "for", "weights", title="PaPr proposals")
    for name, proposal in catalogue["papr_proposals"].items():
        proposals.add_row(name, proposal["input"], _origin(proposal["published"]))
    console.show(models)
    console.say(f"Every other timm ViT, ConvNeXt or Swin can be named too, such as {PREFIX}vit_tiny_patch16_224.")
    console.say("Published weights are fetched by name: --pretrained; others need a file: --checkpoint.")
    console.say("")
    console.show(proposals)


def _origin(published: bool) -> str:
    return "published" if published else "authors' file"


def _catalogue() -> dict[str, Any]:
    return {
        "models": {
            name: {
                "width": config.backbone.width,
                "heads": config.backbone.heads,
                "queries": config.head.queries,
                "frame_size": list(config.frame_size),
                "dataset": config.dataset,
                "weights_shipped": name in SHIPPED_MODELS,
            }
            for name, config in MODELS.items()
        },
        "keep_schedules": {
            name: {"mapping": schedule.mapping, "selective": list(schedule.selective)}
            for name, schedule in KEEP_SCHEDULES.items()
        },
        "datasets": {name: list(classes) for name, classes in DATASETS.items()},
        "papr_models": {
            PREFIX + entry.name: {
                "input": "clips" if entry.clips else "images",
                "proposal": entry.proposal,
                "published": entry.published,
            }
            for entry in CATALOGUE.values()
        },
        "papr_proposals": {
            **{name: {"input": "images", "published": True} for name in IMAGE_PROPOSALS},
            **{name: {"input": "clips", "published": False} for name in CLIP_PROPOSALS},
        },
    }
