"""Whether an ONNX Runtime engine computes `vpp` ops with native kernels, and whether it would gain by them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

import onnx

from vpp_deploy import ops
from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.engines.engine_record import EngineRecord
from vpp_deploy.engines.onnxruntime.native_library import COMPILE_COMMAND, NATIVE_OPS, PATH_VARIABLE, NativeLibrary
from vpp_deploy.engines.onnxruntime.options import OnnxRuntimeBuildOptions
from vpp_deploy.errors import BundleError, UsageError
from vpp_deploy.files import interrupts

CHOICES: Final = ("auto", "none")
OPTION: Final = "native ops"
"""In an engine's record: which library it was built with."""
NODES: Final = "native_nodes"
"""In the details of an engine's record: how many nodes native kernels exist for, by graph."""


def choose(bundle: Bundle, options: OnnxRuntimeBuildOptions, nodes: Mapping[GraphRole, int]) -> NativeLibrary | None:
    """The library to build an engine with; None for one of standard ops alone.

    Args:
        bundle: whose engine, for messages.
        options: see there.
        nodes: what `native_nodes` found in the bundle.

    Raises:
        UsageError: an unknown choice, or one that contradicts the library or the bundle.
        PluginError: where a library is named there is none, or it is not one, or it is of another version.
    """
    wanted, given = options.native_ops or "auto", options.native_library
    if wanted not in CHOICES:
        raise UsageError(f"native ops {wanted!r}: use {' or '.join(CHOICES)}")
    if given and wanted == "none":
        raise UsageError(f"native ops none and the library {given} contradict each other; leave out one")
    if wanted == "none" or (not given and not any(nodes.values())):
        return None
    library = NATIVE_OPS.for_build(given) if NATIVE_OPS.candidates(given) else None
    if not any(nodes.values()):
        raise UsageError(f"bundle {bundle.path} has no node for the native ops of {given}; leave the library out")
    return library


def native_nodes(bundle: Bundle) -> dict[GraphRole, int]:
    """How many nodes of each graph of a bundle native kernels exist for.

    Raises:
        BundleError: a graph is damaged.
    """
    return {role: _count(bundle, role) for role in bundle.manifest.roles}


def advice(record: EngineRecord, given: Mapping[str, Any]) -> str | None:
    """How the next build of an engine could be a better one; None if it could not.

    Args:
        record: of the engine.
        given: the options that its build was given.
    """
    nodes = record.details.get(NODES)
    if OPTION in record.options:
        library = given.get("native_library")
        known = NATIVE_OPS.candidates() or not library
        return None if known else f"to run it: export {PATH_VARIABLE}={shlex.quote(str(library))}"
    if given.get("native_ops") == "none" or not (isinstance(nodes, dict) and any(nodes.values())):
        return None
    return (
        f"deformable attention would be several times as fast with native ops: {COMPILE_COMMAND}, then: export "
        f"{PATH_VARIABLE}=build/onnxruntime_ops, and build the engine again (--native-ops none leaves this line out)"
    )


def _count(bundle: Bundle, role: GraphRole) -> int:
    content = bundle.read_graph(role)
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's own
        interrupts.let_pass(error)
        raise BundleError(
            f"bundle {bundle.path}: the {role} graph is not an ONNX file: {bundle.manifest.again}"
        ) from error
    known = [ops.OPS.get(node.op_type) for node in model.graph.node if node.domain == ops.DOMAIN]
    return sum(op is not None and op.native for op in known)
