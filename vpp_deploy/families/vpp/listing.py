"""What `vpp-deploy models` tells of VPP. Nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpp_deploy.families import Listing
from vpp_deploy.families.vpp.config import KEEP_SCHEDULES, MODELS
from vpp_deploy.families.vpp.datasets import DATASETS
from vpp_deploy.families.vpp.shipped import SHIPPED_MODELS
from vpp_deploy.terminal import console


def models() -> Mapping[str, str]:
    """The models, and how wide each is."""
    return {name: f"width {config.backbone.width}" for name, config in MODELS.items()}


def listing() -> Listing:
    """Models, keep schedules and data sets."""
    data = _data()
    table = console.table(
        "model", "width", "heads", "queries", "size", "default data set", "weights", title="VPP models"
    )
    for name, model in data["models"].items():
        table.add_row(
            name,
            *(str(model[key]) for key in ("width", "heads", "queries")),
            console.height_by_width(model["frame_size"]),
            model["dataset"],
            "shipped" if model["weights_shipped"] else "",
        )
    schedules = console.table("--keep", "block 1", "block 3", "block 6", "block 9", title="Keep schedules")
    for name, schedule in data["keep_schedules"].items():
        ratios = [schedule["mapping"], *schedule["selective"]]
        schedules.add_row(name, *([str(ratio) for ratio in ratios] if schedule["selective"] else ["1"] * 4))
    datasets = console.table("--dataset", "classes", "", title="Data sets")
    for name, classes in data["datasets"].items():
        datasets.add_row(name, str(len(classes)), ", ".join(classes[:5]) + (", …" if len(classes) > 5 else ""))
    return Listing(
        data,
        (
            table,
            "",
            schedules,
            "Share of all tokens that is kept from a block on. Your own: four ratios that do not grow,\n"
            "such as --keep 0.7,0.56,0.448,0.358\n",
            datasets,
        ),
    )


def _data() -> dict[str, Any]:
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
    }
