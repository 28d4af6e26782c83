"""Classification of images and clips, with the patches that mattered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpp_deploy.registry import lazy
from vpp_deploy.tasks.classification.options import RunOptions
from vpp_deploy.tasks.task import Task

if TYPE_CHECKING:
    from vpp_deploy.bundle.manifest import Manifest


def _takes_images(manifest: Manifest) -> bool:
    from vpp_deploy.bundle.classification_manifest import ClassificationManifest

    return ClassificationManifest.of(manifest, "this hint").clip is None


def _results(manifest: Manifest) -> str:
    from vpp_deploy.bundle.classification_manifest import ClassificationManifest

    classifier = ClassificationManifest.of(manifest, "this warning")
    given = "labels" if classifier.features is None else "features"
    return f"{given} and kept patches" if classifier.pruning_points else given


def _unused(manifest: Manifest) -> dict[str, str]:
    from vpp_deploy.bundle.classification_manifest import ClassificationManifest

    classifier = ClassificationManifest.of(manifest, "this option")
    found = {} if classifier.features is None else {"top": "gives features and no labels"}
    return found if classifier.clip is not None else found | {"hop": "takes images and no clips"}


def _source(manifest: Manifest) -> str:
    return "IMAGES" if _takes_images(manifest) else "VIDEO"


TASK = Task(
    name="classification",
    title="classification",
    results=_results,
    run_options=RunOptions,
    unused=_unused,
    open_session=lazy("vpp_deploy.tasks.classification.session:ClassificationSession"),
    open_model=lazy("vpp_deploy.tasks.classification.model:ClassificationModel"),
    run=lazy("vpp_deploy.tasks.classification.infer:run"),
    together=_takes_images,
    next_run=lambda manifest: (_source(manifest),),
    source=_source,
    sample=lambda manifest: "image" if _takes_images(manifest) else "clip",
    check_parity=lazy("vpp_deploy.tasks.classification.parity.check:check_classification"),
    render=lazy("vpp_deploy.tasks.classification.parity.render:render_classification"),
    workload=lazy("vpp_deploy.tasks.classification.workload:ClassificationWorkload"),
    open_data=lazy("vpp_deploy.tasks.classification.evaluation.runner:open_data"),
    evaluate=lazy("vpp_deploy.tasks.classification.evaluation.runner:evaluate"),
    evaluated="image",
    render_evaluation=lazy("vpp_deploy.tasks.classification.evaluation.render:render_evaluation"),
    describe=lazy("vpp_deploy.tasks.classification.inspect:describe"),
    page=lazy("vpp_deploy.tasks.classification.inspect:page"),
)
