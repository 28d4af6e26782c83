"""A bundle's graphs in standard ONNX, as a builder reads them: checked, and from files, next to their weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final

import onnx

from vpp_deploy import ops
from vpp_deploy.bundle.external_data import item_bytes
from vpp_deploy.bundle.hashing import sha256_of_open_file
from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.graph_check import bundle_graph_problems, peak_bytes
from vpp_deploy.errors import BuildError, BundleError, ExportError, VppDeployError
from vpp_deploy.files import interrupts
from vpp_deploy.files.atomic import check_room
from vpp_deploy.files.limits import in_bytes
from vpp_deploy.files.reading import open_regular

_WEIGHTS: Final = "weights.safetensors"
"""Next to a lowered graph, whatever the bundle calls it."""


def check_memory(bundle: Bundle) -> None:
    """See that running a bundle allocates no more than whoever opened it allows, as far as its manifest tells.

    Raises:
        BundleError: it would.
    """
    for claim in bundle.manifest.memory_claims():
        _allow(bundle, claim.what, claim.nbytes)


def _allow(bundle: Bundle, what: str, nbytes: int) -> None:
    if nbytes > bundle.max_memory:
        raise BundleError(
            f"bundle {bundle.path}: {what} would take {in_bytes(nbytes)} of memory, more than the "
            f"{in_bytes(bundle.max_memory)} that are allowed: if you trust it, allow more (--max-memory, or "
            "Bundle.open(..., max_memory=...))"
        )


@contextmanager
def lowered_graph(
    bundle: Bundle, role: GraphRole, folder: Path, lowering: str, *, plugins: ops.PluginForm | None = None
) -> Iterator[Path]:
    """A file with one of a bundle's graphs, its `vpp` nodes lowered. The weights are next to it.

    A file, because a model with its weights inside can exceed the 2 GB of a protobuf message.

    Args:
        bundle: where the graph is.
        role: which graph.
        folder: where to write; after the block it is as it was, but for what the caller wrote.
        lowering: a backend's name, see `vpp_deploy.ops.lower`.
        plugins: keep nodes for TensorRT plugins, see there.

    Raises:
        BundleError: the graph is not what the manifest says, or needs more memory than is allowed.
        BuildError: it cannot be lowered.
        OSError: nothing can be written in the folder, also where the caller's block found no better name for that.
    """
    model = lowered_model(bundle, role, lowering, plugins=plugins)
    with TemporaryDirectory(dir=folder, prefix="lowered.") as scratch:
        _link_weights(bundle, Path(scratch) / _WEIGHTS)
        path = Path(scratch) / f"{role}.onnx"
        onnx.save(model, path)
        try:
            yield path
        except BuildError:  # builders tell of a full disk as of any fault of theirs
            check_room(folder, bundle.manifest.files[bundle.manifest.weights_file].bytes)
            raise


def lowered_whole(bundle: Bundle, role: GraphRole, lowering: str) -> onnx.ModelProto:
    """One of a bundle's graphs, checked and lowered, with its weights inside; see `lowered_graph`."""
    model = lowered_model(bundle, role, lowering)
    embed_weights(bundle, model)
    return model


def embed_weights(bundle: Bundle, model: onnx.ModelProto) -> None:
    """Put the weights of one of a bundle's graphs inside it.

    Raises:
        BundleError: the weights file cannot be read, or is not what the manifest says.
    """
    with open_regular(bundle.weights_path, BundleError, what="weights file") as file:
        _check_weights(bundle, file)
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                place = {entry.key: entry.value for entry in tensor.external_data}
                file.seek(int(place.get("offset", 0)))
                tensor.raw_data = file.read(prod(tensor.dims) * (item_bytes(tensor.data_type) or 0))
                tensor.ClearField("data_location")
                del tensor.external_data[:]


def lowered_model(
    bundle: Bundle, role: GraphRole, lowering: str, *, plugins: ops.PluginForm | None = None
) -> onnx.ModelProto:
    """One of a bundle's graphs, checked, with its `vpp` nodes lowered; arguments and errors as `lowered_graph`."""
    label = _label(bundle, role)
    model = checked_graph(bundle, role)
    named = frozenset(name for node in model.graph.node for name in node.output if name)
    weights = bundle.manifest.files[bundle.manifest.weights_file].bytes
    try:
        lowered = ops.lower(model, lowering)
        _allow(bundle, f"the {role} graph", _peak_bytes(bundle, lowered, named, weights, label))
        return ops.lower(model, lowering, plugins=plugins) if plugins else lowered
    except ExportError as error:
        raise BundleError(f"{label}: {error}: {bundle.manifest.again}") from error
    except VppDeployError:
        raise
    except Exception as error:  # onnx raises several types of its own, without a common base
        interrupts.let_pass(error)
        reason = " ".join(str(error).split())
        raise BuildError(
            f"{label} cannot be lowered for {lowering} ({reason:.200}): {bundle.manifest.again}"
        ) from error


def _label(bundle: Bundle, role: GraphRole) -> str:
    return f"bundle {bundle.path}: the {role} graph"


def _peak_bytes(bundle: Bundle, lowered: onnx.ModelProto, named: frozenset[str], weights: int, label: str) -> int:
    try:
        return peak_bytes(lowered, named, weights)
    except ValueError as error:
        raise BundleError(f"{label} {error}: {bundle.manifest.again}") from error


def checked_graph(bundle: Bundle, role: GraphRole) -> onnx.ModelProto:
    """One of a bundle's graphs as it was exported, whose constants point to `_WEIGHTS` now.

    Raises:
        BundleError: the graph is not what the manifest says, or the bundle needs more memory than is allowed.
    """
    check_memory(bundle)
    manifest, label = bundle.manifest, _label(bundle, role)
    content = bundle.read_graph(role)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own
        interrupts.let_pass(error)
        raise BundleError(f"{label} is not an ONNX file: {bundle.manifest.again}") from error
    weights = os.path.relpath(PurePosixPath(manifest.weights_file), PurePosixPath(manifest.graphs[role].file).parent)
    stored = {weights: manifest.files[manifest.weights_file].bytes}
    for problem in bundle_graph_problems(model, manifest, role, stored):
        raise BundleError(f"{label} {problem}: {bundle.manifest.again}")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = _WEIGHTS
    return model


def _link_weights(bundle: Bundle, target: Path) -> None:
    """A hard link, which ONNX Runtime does not take for a way out of the folder; a copy where there are none.

    Raises:
        BundleError: the weights are not those of the manifest any more.
    """
    try:
        os.link(bundle.weights_path.resolve(), target)
    except OSError:
        shutil.copyfile(bundle.weights_path, target)
    with open_regular(target, BundleError, what="weights file") as file:
        _check_weights(bundle, file)


def _check_weights(bundle: Bundle, file: BinaryIO) -> None:
    if sha256_of_open_file(file) != bundle.manifest.files[bundle.manifest.weights_file].sha256:
        raise BundleError(f"bundle {bundle.path}: the weights were altered: {bundle.manifest.again}")
