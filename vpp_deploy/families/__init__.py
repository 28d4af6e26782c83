"""Families of pruned models: ways to prune tokens, each a room of its own with its PyTorch models.

`FAMILIES` names them; a family's PyTorch code is imported when it is used. Another package offers a family of its own
through the entry-point group `vpp_deploy.families` (`examples/own_model`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import RenderableType

from vpp_deploy.arguments import checked
from vpp_deploy.errors import DependencyError, ExportError, UsageError
from vpp_deploy.exporters.precision import check_precision
from vpp_deploy.exporters.random_weights import RandomWeights
from vpp_deploy.exporters.refusals import refusals_of
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.options import NoOptions, Progress, make_options
from vpp_deploy.registry import Registry, lazy

if TYPE_CHECKING:
    from vpp_deploy.bundle.reader import Bundle
    from vpp_deploy.engines.protocols import Engine

STATIC: Final = "topk"
"""Selection of a fixed number of tokens: what every exported graph does."""


@dataclass(frozen=True)
class Listing:
    """What `vpp-deploy models` tells of a family.

    Attributes:
        data: for JSON; keys are unique among families.
        tables: for a human, one after the other.
    """

    data: Mapping[str, Any]
    tables: Sequence[RenderableType]


def _nothing_to_check(request: ExportRequest, options: Any) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Family:
    """A way to prune tokens, with its PyTorch models.

    The record is imported wherever families are listed, so it must be cheap: what needs PyTorch is imported when it is
    called (`vpp_deploy.registry.lazy`).

    Attributes:
        name: as in manifests, e.g. `papr`.
        title: as people write it, e.g. `PaPr`.
        prefix: before the names of its models, e.g. `papr:`. Only VPP has none.
        task: what comes out: a name in `vpp_deploy.tasks.TASKS`.
        example: name of a model, for messages.
        keep: what `--keep` means for it and its default, e.g. `a ratio above 0 and up to 1`.
        default_keep: the default of `--keep`.
        options: a dataclass of its export options, see `vpp_deploy.options`.
        models: the names of its models, without the prefix, and one line about each. A name that is not listed may
            still be known to `export`.
        listing: what `vpp-deploy models` tells; None makes a table of `models`.
        check: called before PyTorch is loaded, with the request and the options: raises what is wrong with them.
        export: exports: `(request, options) -> Bundle`.
        reference: the PyTorch reference of a bundle as an engine: `(bundle, selection) -> Engine`.
        selections: how `reference` can select tokens; the first one is what is exported.
    """

    name: str
    title: str
    prefix: str
    task: str
    example: str
    keep: str
    default_keep: str
    options: type = NoOptions
    models: Callable[[], Mapping[str, str]]
    listing: Callable[[], Listing] | None = None
    check: Callable[[ExportRequest, Any], None] = _nothing_to_check
    export: Callable[[ExportRequest, Any], Bundle]
    reference: Callable[[Bundle, str], Engine]
    selections: tuple[str, ...] = (STATIC,)


GROUP: Final = "vpp_deploy.families"
"""Entry-point group of families in other packages."""

FAMILIES: Final[Registry[Family]] = Registry(
    "family",
    {
        "vpp": "vpp_deploy.families.vpp:FAMILY",
        "papr": "vpp_deploy.families.papr:FAMILY",
        "dynamicvit": "vpp_deploy.families.dynamicvit:FAMILY",
        "evit": "vpp_deploy.families.evit:FAMILY",
    },
    Family,
    GROUP,
)


_written = lazy("vpp_deploy.exporters.in_memory:written")


def list_models() -> dict[str, str]:
    """The names that `export` takes, with a line about each; families of other packages among them.

    A family whose package does not load is left out; `vpp-deploy models` says why.
    """
    families, _ = FAMILIES.load_all()
    return {f.prefix + name: about for f in families.values() for name, about in f.models().items()}


@checked
def export(
    model: Any,
    *,
    out: str | PathLike[str],
    checkpoint: str | PathLike[str] | None = None,
    state_dict: Mapping[str, Any] | None = None,
    weights: str | None = None,
    random_weights: RandomWeights | None = None,
    keep: Any = None,
    size: tuple[int, int] | None = None,
    precision: str = "float32",
    overwrite: bool = False,
    allow_nonfinite: bool = False,
    progress: Progress = lambda step: None,
    **options: Any,
) -> Bundle:
    """Export a model to a bundle: its graphs, their shared weights and the manifest.

    Args:
        model: a name that `vpp-deploy models` lists, or an object with an attribute `family` (a `Family`, or the name
            of one): a configuration of a built-in family, or a module of your own.
        out: the bundle's folder; its parent exists.
        checkpoint: trained weights: a file of PyTorch or safetensors, or the folder of its shards.
        state_dict: trained weights in memory instead, a PyTorch tensor by each name.
        weights: which weights of a checkpoint that holds several: `raw`, `ema`, or a key in it; None takes the raw
            ones, if there are any.
        random_weights: weights without training, for trying out.
        keep: tokens to keep, as the family understands it; None takes its default.
        size: height and width of the model's input in pixels; None takes the model's own.
        precision: of matrix products and convolutions; everything else is float32.
        overwrite: replace an existing bundle.
        allow_nonfinite: export weights although some are NaN or infinite.
        progress: called with a line about each step, and about each decision.
        options: of the family: fields of its `options` dataclass, e.g. `max_tracks` of VPP, `labels` of PaPr.

    Raises:
        UsageError: an option that the family does not have, or options that contradict each other; no weights, or
            weights from two sources; an unknown precision.
        ConfigError: a keep ratio or schedule, or another value, that the model cannot have.
        CheckpointError: weights cannot be read or fetched, or do not fit.
        ExportError: an unknown model, a structure or size that cannot be exported, a weight beyond the range of the
            precision, or a graph that a backend could not run.
        DependencyError: PyTorch, or another package that the family needs, is not installed.
        OutputError: the bundle cannot be written.
    """
    if state_dict is not None and checkpoint is not None:
        raise UsageError("give either checkpoint= or state_dict=, and not both")
    family = family_of(model)
    with ExitStack() as stack:
        if state_dict is not None:
            checkpoint = stack.enter_context(_written(state_dict))
        request = ExportRequest(
            model=model,
            out=Path(out),
            checkpoint=None if checkpoint is None else Path(checkpoint),
            weights=weights,
            allow_nonfinite=allow_nonfinite,
            random_weights=random_weights,
            keep=keep,
            size=size,
            precision=check_precision(precision),
            overwrite=overwrite,
            progress=progress,
            note=progress,
        )
        about = f"export {getattr(model, 'name', model)}: family {family.name}"
        made: Any = make_options(family.options, options, about)
        family.check(request, made)
        return family.export(request, made)


def family_of(model: Any) -> Family:
    """The family of a model.

    Args:
        model: a name, or an object with an attribute `family`.

    Raises:
        UsageError: neither; or a prefix that families of several packages have.
        ExportError: a name without a prefix that VPP does not know and another family does.
        DependencyError: the package that offers the family does not load.
    """
    if not isinstance(model, str):
        return _family_of_object(model)
    prefix, colon, _ = model.partition(":")
    if colon:
        families, problems = FAMILIES.load_all()
        found = [family for name, family in families.items() if prefix == name or family.prefix == f"{prefix}:"]
        if len(found) > 1 and not FAMILIES.is_built_in(found[0].name):
            names = ", ".join(family.name for family in found)
            raise UsageError(f"model {model!r}: several families have the prefix {prefix}: ({names}); uninstall one")
        if found:
            return found[0]
        if prefix in problems:
            raise DependencyError(problems[prefix])
        prefixes = ", ".join(family.prefix for family in families.values() if family.prefix)
        told = "".join(f"; {problem}" for problem in problems.values())  # it may be one of these that is meant
        raise ExportError(f"unknown model {model!r}: no family has the prefix {prefix!r}; there are {prefixes}{told}")
    plain = next(family for family in FAMILIES.load_all()[0].values() if not family.prefix)
    if model not in plain.models():
        others = [
            family
            for family in FAMILIES.load_all()[0].values()
            if family.prefix and any(model in (name, name.partition(".")[0]) for name in family.models())
        ]
        if others:
            names = " or ".join(f"{family.prefix}{model}" for family in others)
            raise ExportError(f"unknown model {model!r}; did you mean {names}?")
    return plain


@checked
def open_reference(bundle: Bundle, selection: str = STATIC) -> Engine:
    """The PyTorch reference of a bundle as an engine: what every other engine is compared with.

    Args:
        bundle: rebuilt from its manifest and its weights file, not from its graphs.
        selection: `topk`, as exported; VPP also has `threshold`, as in training.

    Raises:
        UsageError: the bundle's family is not known here, or does not select tokens in that way.
        DependencyError: PyTorch is not installed.
        CheckpointError, ConfigError, ExportError: the bundle's weights or configuration do not make a reference.
    """
    from vpp_deploy.bundle.reader import check_open

    check_open(bundle)
    model = bundle.manifest.model
    if model.family not in FAMILIES:
        raise UsageError(
            f"bundle {bundle.path} is of the family {model.family!r}, which is not installed here; install the package "
            f"that offers it (there are {', '.join(FAMILIES)})"
        )
    family = FAMILIES[model.family]
    if selection not in family.selections:
        raise UsageError(f"selection by {selection}: {model.name} keeps a fixed number of patches")
    try:
        with refusals_of(bundle):
            return family.reference(bundle, selection)
    except ImportError as error:
        raise DependencyError(
            f"the engine torch is PyTorch, which cannot be imported ({error}); pip install 'vpp-deploy[export]'"
        ) from error


def _family_of_object(model: Any) -> Family:
    family = getattr(model, "family", None)
    if isinstance(family, str):
        return FAMILIES.find(family)
    if isinstance(family, Family):
        if family.name not in FAMILIES or FAMILIES[family.name] is not family:
            FAMILIES.register(family.name, family)
        return family
    raise UsageError(
        f"export {type(model).__name__}: it has no attribute `family`; give a name from `vpp-deploy models`, or set "
        "the attribute to a vpp_deploy.Family"
    )


__all__ = [
    "FAMILIES",
    "GROUP",
    "ExportRequest",
    "Family",
    "Listing",
    "export",
    "family_of",
    "list_models",
    "open_reference",
]
