"""From a float32 bundle and data to a bundle whose products compute in a smaller type. Needs no PyTorch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from vpp_deploy.arguments import check_fields, checked
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import GraphRole, Quantization, QuantizationSearch
from vpp_deploy.bundle.reader import Bundle, check_open
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.lowered import checked_graph, embed_weights, lowered_whole
from vpp_deploy.errors import BundleError, UsageError
from vpp_deploy.exporters.precision import PRECISIONS
from vpp_deploy.files.separation import check_outputs
from vpp_deploy.quantization.calibration import Calibration, calibrate
from vpp_deploy.quantization.casts import groups_of_products
from vpp_deploy.quantization.data import Clip, check_frames, read_data
from vpp_deploy.quantization.histogram import RangeMethod, range_method
from vpp_deploy.quantization.products import Product, find_products, initial_values
from vpp_deploy.quantization.qdq import FP8, INT8, QuantisedType
from vpp_deploy.quantization.reduction import Casts, Quantising, Reduction

QUANTISED_TYPES: Final[Mapping[str, QuantisedType]] = {"int8": INT8, "fp8": FP8}
"""Those that take ranges of activations, by the name of the precision."""
Progress = Callable[[str, float], None]
"""Called with what is being done, and the share of it that is done, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """How a bundle is quantised.

    Attributes:
        precision: `int8` or `fp8`, with ranges measured on data; `float16` or `bfloat16`, which need none.
        frames: the most frames or images of the data, held-out ones among them.
        ranges: how the ranges of activations follow from the data. None: `mse` in INT8, `max` in FP8, whose steps
            grow with the values.
        percentile: of `ranges="percentile"`: share of the values within a range.
        convolutions: quantise convolutions, too. GPUs gain; ONNX Runtime on processors without VNNI loses. Those of
            float16 are cast in any case, those of bfloat16 never.
        bound: the largest error that is allowed on held-out data; layers that cause more stay float32. None asks for
            none.
    """

    precision: str = "int8"
    frames: int = 64
    ranges: RangeMethod | None = None
    percentile: float = 99.99
    convolutions: bool = False
    bound: float | None = None

    def check(self) -> None:
        """See that the options make sense.

        Raises:
            UsageError: they do not.
        """
        check_fields(self)
        names = [name for name in PRECISIONS if name in QUANTISED_TYPES or PRECISIONS[name].casting]
        if self.precision not in names:
            raise UsageError(f"precision {self.precision!r:.40}: use {', '.join(names)}")
        if self.ranges is not None:
            range_method(self.ranges)
        if self.precision not in QUANTISED_TYPES:
            if self.ranges is not None or self.convolutions:
                what = "ranges of activations" if self.ranges else "convolutions"
                raise UsageError(f"{what}: a choice for {' and '.join(QUANTISED_TYPES)}, not for {self.precision}")
        elif self.precision == "fp8" and self.ranges == "mse":
            raise UsageError("ranges 'mse' are for equal steps, as INT8 has: use max or percentile for fp8")
        if not 50.0 < self.percentile <= 100.0:
            raise UsageError(f"percentile is {self.percentile:g}; give more than 50, and at most 100")
        if self.bound is not None and not 0.0 < self.bound < 1.0:
            raise UsageError(f"the bound of the error is {self.bound:g}; give a number between 0 and 1, such as 0.05")

    @property
    def method(self) -> RangeMethod:
        """How ranges follow from the data, with the default of the precision."""
        return self.ranges or ("max" if self.precision == "fp8" else "mse")

    @property
    def needs_data(self) -> bool:
        """Whether anything has to be measured."""
        return self.precision in QUANTISED_TYPES or self.bound is not None


@checked
def quantize(
    bundle: Bundle,
    data: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    options: QuantizeOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = lambda what, share: None,
) -> Bundle:
    """Quantise the products of a bundle after training: INT8 or FP8 with static ranges, float16 or bfloat16.

    Args:
        bundle: in float32, open.
        data: a video, a folder of images, (plain tensors) an `.npz` file, or a folder of those. None only for
            float16 and bfloat16 without a bound.
        out: folder of the new bundle.
        options: how; None takes the defaults.
        overwrite: replace `out` if it is a bundle.
        progress: see `Progress`.

    Returns:
        The new bundle, without an engine.

    Raises:
        UsageError: the bundle is not in float32, has nothing to quantise, an option makes no sense, data is lacking
            or for nothing, or `out` is what is read.
        VideoError: the data cannot be read, or is too little.
        DependencyError: ONNX Runtime is not installed.
        BundleError: a graph is not what the manifest says.
        EngineOutputError: the model computes NaN or infinity on the data.
        ExportError: a weight is beyond the range of float16.
        ParityError: no choice of layers meets the bound.
        OutputError: the new bundle cannot be written.
    """
    check_open(bundle)
    options = options or QuantizeOptions()
    path = Path(data) if data is not None else None
    check_request(bundle, path, Path(out), options, overwrite=overwrite)
    source = bundle.manifest
    with BundleWriter(Path(out), overwrite=overwrite) as writer:
        progress("reading", 0.0)
        shown = read_data(path, source, options.frames, hold_out=options.bound is not None) if path else None
        reduction, calibration = _reduction(bundle, options, shown.calibration if shown else (), progress)
        kept: Sequence[str] = ()
        search: QuantizationSearch | None = None
        if options.bound is not None and shown:
            from vpp_deploy.quantization.search import search_layers

            kept, search = search_layers(bundle, reduction, shown.held_out, options.bound, progress)
        progress("writing", 0.0)
        counts = {role: _write_graph(bundle, role, reduction, kept, writer.folder) for role in source.roles}
        _copy_weights(bundle, writer.folder)
        facts = Quantization(
            ranges=options.method if calibration else None,
            percentile=options.percentile if calibration and options.method == "percentile" else None,
            data=path.name if path else None,
            runs=dict(calibration.runs) if calibration else {},
            products=counts,
            convolutions=options.convolutions,
            float32=tuple(kept),
            search=search,
        )
        return writer.commit(
            lambda files: source.model_copy(
                update={"precision": reduction.name, "quantization": facts, "files": dict(files)}
            )
        )


def check_request(bundle: Bundle, data: Path | None, out: Path, options: QuantizeOptions, *, overwrite: bool) -> None:
    """See, before any work, that what is asked of `quantize` makes sense.

    Raises:
        UsageError, DependencyError, OutputError: see there.
    """
    options.check()
    check_float32(bundle)
    if options.needs_data:
        if data is None:
            why = "bound" if options.precision not in QUANTISED_TYPES else f"range of {options.precision}"
            raise UsageError(f"a {why} takes data to measure on: give a video or a folder of images")
        BACKENDS["onnxruntime"].required_version()
        check_frames(options.frames, bundle.manifest, hold_out=options.bound is not None)
    elif data is not None:
        raise UsageError(f"{options.precision} without a bound measures nothing: leave the data out, or give a bound")
    check_outputs([out], inputs=[bundle.path] if data is None else [bundle.path, data])
    BundleWriter(out, overwrite=overwrite).check()


def check_float32(bundle: Bundle) -> None:
    """See that a bundle can be quantised.

    Raises:
        UsageError: its products compute in something else than float32.
    """
    manifest = bundle.manifest
    if manifest.quantization is not None:
        raise UsageError(f"bundle {bundle.path} is quantised already: give the float32 bundle that it was made from")
    if manifest.precision != "float32":
        raise UsageError(
            f"bundle {bundle.path} is in {manifest.precision}: export it with --precision float32 and quantise that"
        )


def _reduction(
    bundle: Bundle, options: QuantizeOptions, clips: Sequence[Clip], progress: Progress
) -> tuple[Reduction, Calibration | None]:
    roles = bundle.manifest.roles
    casting = PRECISIONS[options.precision].casting
    nothing = f"bundle {bundle.path}: no product has a constant weight, so there is nothing to quantise"
    if casting:
        groups = {role: groups_of_products(checked_graph(bundle, role).graph, casting) for role in roles}
        if not any(groups.values()):
            raise UsageError(nothing)
        return Casts(casting, groups), None
    products = {role: _products(bundle, role, options.convolutions) for role in roles}
    if not any(products.values()):
        raise UsageError(nothing)
    frames = max(1, sum(map(len, clips)))
    calibration = calibrate(bundle, products, clips, lambda done: progress("ranges", done / frames))
    ranges = {role: calibration.ranges(role, options.method, options.percentile) for role in roles}
    return Quantising(QUANTISED_TYPES[options.precision], products, ranges), calibration


def _products(bundle: Bundle, role: GraphRole, convolutions: bool) -> list[Product]:
    weights = initial_values(lowered_whole(bundle, role, "onnxruntime"))
    return find_products(_graph(bundle, role), weights, convolutions=convolutions)


def _graph(bundle: Bundle, role: GraphRole) -> onnx.ModelProto:
    """A graph as it was exported, whose check is the caller's."""
    return onnx.load_model_from_string(bundle.read_graph(role))


def _write_graph(bundle: Bundle, role: GraphRole, reduction: Reduction, kept: Sequence[str], folder: Path) -> int:
    model = _graph(bundle, role)
    count = reduction.write(role, model, kept)
    name = bundle.manifest.graphs[role].file
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target)
    if PRECISIONS[reduction.name].casting:  # whose weights keep no scale, so they may be beyond its range
        embed_weights(bundle, model)
        PRECISIONS[reduction.name].check(model, name)
    return count


def _copy_weights(bundle: Bundle, folder: Path) -> None:
    name = bundle.manifest.weights_file
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bundle.weights_path, target)
    if sha256_of_file(target) != bundle.manifest.files[name].sha256:
        raise BundleError(f"bundle {bundle.path}: the weights were altered: {bundle.manifest.again}")
