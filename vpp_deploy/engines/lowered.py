"""A bundle's graphs in standard ONNX, as a builder reads them: from files, next to their weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from vpp_deploy import ops
from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import Bundle


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
    """
    with TemporaryDirectory(dir=folder, prefix="lowered.") as scratch:
        _link(bundle.weights_path, Path(scratch) / bundle.manifest.weights_file)
        path = Path(scratch) / f"{role}.onnx"
        graph = onnx.load(bundle.graph_path(role), load_external_data=False)
        onnx.save(ops.lower(graph, lowering, plugins=plugins), path)
        yield path


def _link(source: Path, target: Path) -> None:
    """A hard link, which ONNX Runtime does not take for a way out of the folder; a copy where there are none."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
