"""From a float32 bundle and data to a bundle whose products compute in INT8. Needs no PyTorch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.manifest import GraphRole, Quantization, QuantizationSearch
from vpp_deploy.bundle.reader import Bundle, check_open
from vpp_deploy.bundle.writer import BundleWriter
from vpp_deploy.engines import BACKENDS
from vpp_deploy.engines.lowered import lowered_whole
from vpp_deploy.errors import BundleError, UsageError
from vpp_deploy.quantization.calibration import Calibration, calibrate
from vpp_deploy.quantization.data import read_data
from vpp_deploy.quantization.histogram import RangeMethod, range_method
from vpp_deploy.quantization.products import Product, find_products, initial_values
from vpp_deploy.quantization.qdq import quantise

PRECISION = "int8"
Progress = Callable[[str, float], None]
"""Called with what is being done, and the share of it that is done, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """How a bundle is quantised.

    Attributes:
        frames: the most frames or images of the data, held-out ones among them.
        ranges: how the ranges of activations follow from the data.
        percentile: of `ranges="percentile"`: share of the values within a range.
        convolutions: quantise convolutions, too. GPUs gain; ONNX Runtime on processors without VNNI loses.
        bound: the largest error that is allowed on held-out data; layers that cause more stay float32. None asks for
            none.
    """

    frames: int = 64
    ranges: RangeMethod = "mse"
    percentile: float = 99.99
    convolutions: bool = False
    bound: float | None = None

    def check(self) -> None:
        """See that the numbers make sense.

        Raises:
            UsageError: they do not.
        """
        range_method(self.ranges)
        if not 50.0 < self.percentile <= 100.0:
            raise UsageError(f"percentile is {self.percentile:g}; give more than 50, and at most 100")
        if self.bound is not None and not 0.0 < self.bound < 1.0:
            raise UsageError(f"the bound of the error is {self.bound:g}; give a number between 0 and 1, such as 0.05")


def quantize(
    bundle: Bundle,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: QuantizeOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = lambda what, share: None,
) -> Bundle:
    """Quantise the products of a bundle to INT8 after training, with static ranges.

    Args:
        bundle: in float32, open.
        data: a video, a folder of images, (plain tensors) an `.npz` file, or a folder of those.
        out: folder of the new bundle.
        options: how; None takes the defaults.
        overwrite: replace `out` if it is a bundle.
        progress: see `Progress`.

    Returns:
        The new bundle, without an engine.

    Raises:
        UsageError: the bundle is not in float32, has nothing to quantise, or an option makes no sense.
        VideoError: the data cannot be read, or is too little.
        DependencyError: ONNX Runtime is not installed.
        BundleError: a graph is not what the manifest says.
        EngineOutputError: the model computes NaN or infinity on the data.
        ParityError: no choice of layers meets the bound.
        OutputError: the new bundle cannot be written.
    """
    check_open(bundle)
    options = options or QuantizeOptions()
    options.check()
    check_float32(bundle)
    BACKENDS["onnxruntime"].required_version()
    source, path = bundle.manifest, Path(data)
    with BundleWriter(Path(out), overwrite=overwrite) as writer:
        progress("reading", 0.0)
        shown = read_data(path, source, options.frames, hold_out=options.bound is not None)
        products = {role: _products(bundle, role, options.convolutions) for role in source.roles}
        if not any(products.values()):
            raise UsageError(f"bundle {bundle.path}: no product has a constant weight, so there is nothing to quantise")
        frames = sum(map(len, shown.calibration))
        calibration = calibrate(bundle, products, shown.calibration, lambda done: progress("ranges", done / frames))
        ranges = {role: calibration.ranges(role, options.ranges, options.percentile) for role in source.roles}
        kept: Sequence[str] = ()
        search: QuantizationSearch | None = None
        if options.bound is not None:
            from vpp_deploy.quantization.search import search_layers

            kept, search = search_layers(bundle, products, ranges, shown.held_out, options.bound, progress)
        chosen = {role: [item for item in found if item.group not in kept] for role, found in products.items()}
        progress("writing", 0.0)
        for role in source.roles:
            _write_graph(bundle, role, chosen[role], ranges[role], writer.folder)
        _copy_weights(bundle, writer.folder)
        facts = _facts(options, path, calibration, chosen, kept, search)
        return writer.commit(
            lambda files: source.model_copy(
                update={"precision": PRECISION, "quantization": facts, "files": dict(files)}
            )
        )


def check_float32(bundle: Bundle) -> None:
    """See that a bundle can be quantised.

    Raises:
        UsageError: its products compute in something else than float32.
    """
    precision = bundle.manifest.precision
    if precision == PRECISION:
        raise UsageError(f"bundle {bundle.path} is quantised already: give the float32 bundle that it was made from")
    if precision != "float32":
        raise UsageError(
            f"bundle {bundle.path} is in {precision}: export it with --precision float32 and quantise that"
        )


def _products(bundle: Bundle, role: GraphRole, convolutions: bool) -> list[Product]:
    weights = initial_values(lowered_whole(bundle, role, "onnxruntime"))
    return find_products(_graph(bundle, role), weights, convolutions=convolutions)


def _graph(bundle: Bundle, role: GraphRole) -> onnx.ModelProto:
    """A graph as it was exported; `lowered_whole` has checked it."""
    return onnx.load_model_from_string(bundle.read_graph(role))


def _write_graph(
    bundle: Bundle, role: GraphRole, products: Sequence[Product], ranges: Mapping[str, float], folder: Path
) -> None:
    model = _graph(bundle, role)
    quantise(model, products, ranges)
    target = folder / bundle.manifest.graphs[role].file
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target)


def _copy_weights(bundle: Bundle, folder: Path) -> None:
    name = bundle.manifest.weights_file
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bundle.weights_path, target)
    if sha256_of_file(target) != bundle.manifest.files[name].sha256:
        raise BundleError(f"bundle {bundle.path}: the weights were altered: export it again")


def _facts(
    options: QuantizeOptions,
    data: Path,
    calibration: Calibration,
    products: Mapping[GraphRole, Sequence[Product]],
    kept: Sequence[str],
    search: QuantizationSearch | None,
) -> Quantization:
    return Quantization(
        ranges=options.ranges,
        percentile=options.percentile if options.ranges == "percentile" else None,
        data=data.name,
        runs=dict(calibration.runs),
        products={role: len(found) for role, found in products.items()},
        convolutions=options.convolutions,
        float32=tuple(kept),
        search=search,
    )
