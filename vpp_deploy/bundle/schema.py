"""Which manifest a bundle has: by its task, and from earlier versions of the schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.bundle.manifest import SCHEMA_VERSION, Manifest
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.bundle.tensors_manifest import TensorsManifest

MANIFESTS: Final[dict[str, type[Manifest]]] = {
    kind.task: kind for kind in (SegmentationManifest, ClassificationManifest, TensorsManifest)
}
"""The manifest of each task."""
_TASK_OF_FAMILY: Final = {"vpp": "segmentation", "papr": "classification"}
"""Before version 3 the family alone said what comes out."""
_NEW_IN_SEGMENTATION: Final = ("pruning_points", "blocks")
"""Before version 3 the first one was called `selection_points`."""


def validated(content: Any) -> Manifest:
    """A manifest from what its JSON file holds, of any version that can be read.

    Raises:
        ValidationError: it breaks the schema, or there is no such task.
    """
    content = upgraded(content)
    model = content.get("model") if isinstance(content, dict) else None
    task = model.get("task") if isinstance(model, dict) else None
    if not isinstance(task, str):
        return Manifest.model_validate(content)  # which says that the task is missing
    if task not in MANIFESTS:
        raise _none_of(("model", "task"), task, MANIFESTS)
    return MANIFESTS[task].model_validate(content)


def upgraded(content: Any) -> Any:
    """The content of a manifest of version 1 or 2 as version 3 says it; anything else as it is.

    Raises:
        ValidationError: those versions have no such family, or a field is one that only version 3 has.
    """
    if not isinstance(content, dict) or content.get("schema_version") not in (1, 2):
        return content
    content = content | {"schema_version": SCHEMA_VERSION}
    model = content.get("model")
    family = model.get("family") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(family, str):
        return content
    if family not in _TASK_OF_FAMILY:
        raise _none_of(("model", "family"), family, _TASK_OF_FAMILY)
    if "task" in model:
        raise _invalid("extra_forbidden", ("model", "task"), model["task"])
    content["model"] = model | {"task": _TASK_OF_FAMILY[family]}
    if family == "vpp":
        for name in _NEW_IN_SEGMENTATION:
            if name in content:
                raise _invalid("extra_forbidden", (name,), content[name])
        if "selection_points" in content:
            content["pruning_points"] = content.pop("selection_points")
    return content


def _none_of(place: tuple[str, ...], found: str, choices: Iterable[str]) -> ValidationError:
    return _invalid("literal_error", place, found, expected=" or ".join(map(repr, choices)))


def _invalid(kind: str, place: tuple[str, ...], found: Any, **context: Any) -> ValidationError:
    problem = InitErrorDetails(type=kind, loc=place, input=found, ctx=context)
    return ValidationError.from_exception_data("Manifest", [problem])
