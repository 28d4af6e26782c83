"""`vpp-deploy models`: what can be exported."""

from __future__ import annotations

from typing import Any

from vpp_deploy.cli import console
from vpp_deploy.cli.options import JsonFlag
from vpp_deploy.models.config import KEEP_SCHEDULES, MODELS
from vpp_deploy.models.datasets import DATASETS
from vpp_deploy.models.shipped import SHIPPED_MODELS

EXAMPLES = ("vpp-deploy models", "vpp-deploy models --json")


def command(json: JsonFlag = False) -> None:
    """List the models, keep schedules and data sets that `vpp-deploy export` knows."""
    catalogue = _catalogue()
    if json:
        console.print_json(catalogue)
        return
    models = console.table("model", "width", "heads", "queries", "size", "default data set", "weights", title="Models")
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
    }
