"""`vpp-deploy export`: from a model's name and weights to a bundle."""

# Annotations are evaluated here and now (no `from __future__`): help texts in them come from the families.

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vpp_deploy.cli.help_pages import flag
from vpp_deploy.cli.options import parse_size
from vpp_deploy.cli.record_options import Source, options_by_name, refuse_foreign, with_record_options
from vpp_deploy.errors import UsageError
from vpp_deploy.exporters.precision import check_precision, exported_precisions
from vpp_deploy.exporters.random_weights import RandomWeights
from vpp_deploy.exporters.request import ExportRequest
from vpp_deploy.families import FAMILIES, Family, family_of
from vpp_deploy.files.limits import in_bytes
from vpp_deploy.files.outputs import check_places
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.options import MOST_SEED, make_options
from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import phase_bar

EXAMPLES = (
    "vpp-deploy export vpp-small --checkpoint epoch_6.pth -o small.bundle",
    "vpp-deploy export vpp-tiny --checkpoint t.pth --keep 0.4 -o tiny.bundle",
    "vpp-deploy export vpp-demo --keep 0.55 -o demo.bundle",
    "vpp-deploy export papr:deit_small_patch16_224 --pretrained -o vit.bundle",
    "vpp-deploy export papr:videomae_base --random-weights -o clips.bundle",
)

OWN = (
    "model", "out", "checkpoint", "weights", "random_weights", "seed", "keep", "size", "precision", "overwrite",
    "allow_nonfinite",
)  # fmt: skip
"""What the command takes itself, whatever the family."""


def make_command() -> Callable[..., None]:
    """The command, with the options of every family that is installed."""
    families, _ = FAMILIES.load_all()  # `models` tells of those that do not load
    sources, misfits = _sources(families.values())
    keeps = " ".join(f"{family.title}: {family.keep}." for family in families.values())
    defaults = "; ".join(f"{family.title} {family.default_keep}" for family in families.values())

    def command(
        model: Annotated[
            str, typer.Argument(metavar="MODEL", help="Name from `vpp-deploy models`.", show_default=False)
        ],
        out: Annotated[
            Path, typer.Option("-o", "--output", metavar="BUNDLE", help="Folder to make.", show_default=False)
        ],
        checkpoint: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE",
                help="Trained weights: a file of PyTorch or safetensors, or the folder of its shards.",
                show_default="shipped weights, for models that have some",
            ),
        ] = None,
        weights: Annotated[
            str | None,
            typer.Option(
                metavar="WHICH",
                help="Which weights of the checkpoint: raw, ema, or a key in it.",
                show_default="raw, if there are any",
            ),
        ] = None,
        random_weights: Annotated[bool, flag("--random-weights", help="Untrained weights, to try things out.")] = False,
        seed: Annotated[
            int | None,
            typer.Option(metavar="N", help="Seed of --random-weights.", show_default="0", min=0, max=MOST_SEED),
        ] = None,
        keep: Annotated[
            str | None, typer.Option(metavar="SCHEDULE", help=f"Tokens to keep. {keeps}", show_default=defaults)
        ] = None,
        size: Annotated[
            str | None,
            typer.Option(
                metavar="HxW",
                help="Height x width of the input in pixels, multiples of the model's patches (VPP: of 32).",
                show_default="the model's own",
            ),
        ] = None,
        precision: Annotated[
            str,
            typer.Option(
                metavar="TYPE",
                help=f"Of matrix products and convolutions: {', '.join(exported_precisions())}. The rest is float32.",
            ),
        ] = "float32",
        overwrite: Annotated[bool, flag("--overwrite", help="Replace BUNDLE if it exists.")] = False,
        allow_nonfinite: Annotated[
            bool, flag("--allow-nonfinite", help="Export weights although some are NaN or infinite.")
        ] = False,
        *,
        given: Mapping[str, Any],
    ) -> None:
        if seed is not None and not random_weights:
            raise UsageError("--seed is for --random-weights; leave it out with other weights")
        check_places(out)
        request = ExportRequest(
            model=model,
            out=out,
            checkpoint=checkpoint,
            weights=weights,
            allow_nonfinite=allow_nonfinite,
            random_weights=RandomWeights(seed or 0) if random_weights else None,
            keep=keep,
            size=None if size is None else parse_size(size),
            precision=check_precision(precision, "--precision"),
            overwrite=overwrite,
        )
        family = family_of(model)
        if family.name in misfits:
            raise UsageError(f"{family.title} models cannot be exported from the command line: {misfits[family.name]}")
        refuse_foreign(given, sources, family.name, model)
        options: Any = make_options(family.options, given, model)
        check_outputs([out], inputs=[] if checkpoint is None else [checkpoint])
        from vpp_deploy.bundle.writer import BundleWriter  # not above: help pages do without numpy and onnx

        BundleWriter(out, overwrite=overwrite).check()
        family.check(request, options)  # what is wrong with names and files fails before PyTorch is loaded
        _export(family, request, options)

    command.__doc__ = (
        "Export a model with its weights to a bundle: ONNX graphs, one weights file and a manifest. Needs PyTorch."
    )
    return with_record_options(command, sources)


def _sources(families: Iterable[Family]) -> tuple[list[Source], dict[str, str]]:
    """The options of all families, and why those of some are left out: they must not take the others' command away."""
    sources: list[Source] = []
    misfits: dict[str, str] = {}
    for family in families:
        try:
            options_by_name([*sources, source := _source(family)], taken=OWN)
        except Exception as error:  # a dataclass of somebody else's
            misfits[family.name] = str(error)
        else:
            sources.append(source)
    return sources, misfits


def _source(family: Family) -> Source:
    prefixed = f" ({family.prefix}NAME)" if family.prefix else ""
    such = f", such as {family.example}" if family.prefix else ""
    return Source(family.name, f"{family.title} models{such}", f"{family.title} models{prefixed}", family.options)


def _export(family: Family, request: ExportRequest, options: Any) -> None:
    from vpp_deploy.cli.next_step import say_build
    from vpp_deploy.tasks import TASKS

    with phase_bar() as step:
        step("loading PyTorch")
        notes: list[str] = []
        bundle = family.export(replace(request, progress=step, note=notes.append), options)
    for note in notes:
        console.say(note)
    task, manifest = TASKS[bundle.manifest.task], bundle.manifest
    description = task.describe(bundle)
    precision = "" if manifest.precision == "float32" else f"{manifest.precision}, "
    total = in_bytes(sum(record.bytes for record in manifest.files.values()))
    console.say(f"{bundle.path}: {description.line}, {precision}{total}")
    if description.facts:
        console.show(console.facts(list(description.facts)))
    if request.random_weights is not None:
        console.warn(f"the weights are random and untrained: {task.results(manifest)} will mean nothing")
    say_build(bundle)
