"""Writing a bundle as models of a Triton repository: each complete or not there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import onnx
from pydantic import ValidationError

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.bundle.contents import others_in_bundle
from vpp_deploy.bundle.manifest import GraphRole
from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE, MANIFEST_FILE, Bundle
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.engines import BACKENDS, build_engine
from vpp_deploy.engines.engine_files import file_problems
from vpp_deploy.engines.engine_record import EngineRecord, rebuild_command, why
from vpp_deploy.engines.lowered import lowered_whole
from vpp_deploy.errors import BundleError, IncompatibleEngineError, OutputError, UsageError
from vpp_deploy.files.atomic import new_folder
from vpp_deploy.files.contents import others_in
from vpp_deploy.files.outputs import real_path
from vpp_deploy.files.reading import read_bytes
from vpp_deploy.serving.triton.configuration import (
    MARK,
    classifier_configuration,
    graph_configuration,
    video_configuration,
)
from vpp_deploy.serving.triton.models import BUNDLE, graph_model
from vpp_deploy.serving.triton.settings import BLS, Settings
from vpp_deploy.tasks import DEFAULT

Graphs = Literal["python", "onnxruntime", "tensorrt"]
GRAPHS: Final[tuple[Graphs, ...]] = ("python", "onnxruntime", "tensorrt")
"""What runs the graphs: an engine in the server's Python process, or a backend of Triton's own."""
CONFIGURATION: Final = "config.pbtxt"
VERSION: Final = "1"
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_MOST_BYTES: Final = 1_000_000
_MODEL_FILE: Final = '''"""Written by vpp-deploy triton; the model itself is in vpp-deploy, in the server's Python."""

from vpp_deploy.serving.triton.{module} import TritonPythonModel  # noqa: F401
'''


def write_repository(
    bundle: Bundle,
    repository: Path,
    *,
    name: str = "vpp",
    graphs: Graphs = "python",
    settings: Settings | None = None,
    top: int = 5,
    overwrite: bool = False,
) -> list[Path]:
    """Write the models that serve a bundle.

    Args:
        bundle: for videos, or of a classifier of images.
        repository: the folder of models; it is made if there is none.
        name: of the model that clients ask.
        graphs: what runs the graphs, see `GRAPHS`; of classifiers `python`.
        settings: of the model; of a classifier the engine and its threads alone.
        top: labels of a classifier's result.
        overwrite: replace models of these names that such a call wrote.

    Returns:
        The folders of the models, the one that clients ask last.

    Raises:
        UsageError: a name that Triton cannot use; a bundle that cannot be served, or not in this way.
        IncompatibleEngineError: the bundle has no such engine, or it is damaged.
        OutputError: a model of this name is there, or nothing can be written.
        BundleError, BuildError: a graph cannot be lowered, or no engine can be built of it.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"name {name!r:.80} is none for a model; take letters, digits, '_', '-' and '.'")
    if graphs not in GRAPHS:
        raise UsageError(f"graphs {graphs!r:.80}: choose from {', '.join(GRAPHS)}")
    writers = _writers(bundle, name, graphs, settings or Settings(), top)
    target = real_path(repository)
    for model in writers:
        _check_target(target / model, overwrite)
    try:
        with ExitStack() as stack:
            commits = []
            for model, write in writers.items():
                folder, commit = stack.enter_context(new_folder(target / model, make_parent=True))
                (folder / VERSION).mkdir()
                write(folder)
                commits.append(commit)
            for commit in commits:  # what clients ask comes last
                commit()
    except OSError as error:
        raise OutputError(f"cannot write into the repository {repository}: {error.strerror or error}") from error
    return [repository / model for model in writers]


Writer = Callable[[Path], None]


def _writers(bundle: Bundle, name: str, graphs: Graphs, settings: Settings, top: int) -> dict[str, Writer]:
    """What writes each model into its folder."""
    manifest = bundle.manifest
    if isinstance(manifest, ClassificationManifest):
        if manifest.clip is not None:
            raise UsageError(f"{manifest.model.name} classifies clips; Triton serves models of images, and of videos")
        if graphs != "python":
            raise UsageError(f"graphs {graphs}: {manifest.model.name} is a classifier; it is served with graphs python")
        if top < 1:
            raise UsageError(f"top is {top}; ask for at least 1 label")
        if manifest.features is not None:
            raise UsageError(f"{manifest.model.name} gives features and no classes; Triton's models answer with labels")
        parameters = {"engine": settings.engine, "threads": str(settings.threads), "top": str(top)}
        text = classifier_configuration(name, manifest, parameters)
        return {name: partial(_write_python, bundle, settings.engine, text, "classifier")}
    if not isinstance(manifest, SegmentationManifest):
        raise UsageError(f"{manifest.model.name} gives plain tensors; Triton serves classifiers and models of videos")
    if graphs == "python":
        text = video_configuration(name, settings)
        return {name: partial(_write_python, bundle, settings.engine, text, "video")}
    found: dict[str, Writer] = {
        graph_model(name, role): partial(_write_graph, bundle, role, graphs, name) for role in manifest.roles
    }
    text = video_configuration(name, replace(settings, engine=BLS))
    return found | {name: partial(_write_bls, bundle, text)}


def _write_python(bundle: Bundle, engine: str, configuration: str, module: str, folder: Path) -> None:
    """A model with the bundle and its engine; one for ONNX Runtime is built if there is none."""
    BACKENDS.find(engine, "engine")
    copy = folder / VERSION / BUNDLE
    for file in (MANIFEST_FILE, *bundle.manifest.files):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path / file, copy / file)
    if engine == DEFAULT and not bundle.engine_folder(engine).exists():
        build_engine(Bundle.open(copy, max_memory=bundle.max_memory), engine)
    else:
        target = copy / bundle.engine_folder(engine).relative_to(bundle.path)
        target.mkdir(parents=True)
        for file in (ENGINE_RECORD_FILE, *_engine(bundle, engine).files):
            shutil.copyfile(bundle.engine_folder(engine) / file, target / file)
    _write_texts(folder, configuration, module)


def _write_bls(bundle: Bundle, configuration: str, folder: Path) -> None:
    shutil.copyfile(bundle.path / MANIFEST_FILE, folder / VERSION / MANIFEST_FILE)
    _write_texts(folder, configuration, "video")


def _write_graph(bundle: Bundle, role: GraphRole, graphs: Graphs, name: str, folder: Path) -> None:
    """A model of one graph for a backend of Triton's own."""
    if graphs == "onnxruntime":
        onnx.save(lowered_whole(bundle, role, graphs), folder / VERSION / "model.onnx")
    else:
        file = f"{role}.engine"
        if file not in _engine(bundle, graphs).files:
            raise IncompatibleEngineError(f"the {graphs} engine of {bundle.path} has no {file}; build it again")
        shutil.copyfile(bundle.engine_folder(graphs) / file, folder / VERSION / "model.plan")
    model = graph_model(name, role)
    text = graph_configuration(model, bundle.manifest, role, {"backend": graphs})
    (folder / CONFIGURATION).write_text(text, encoding="utf-8")


def _write_texts(folder: Path, configuration: str, module: str) -> None:
    (folder / CONFIGURATION).write_text(configuration, encoding="utf-8")
    (folder / VERSION / "model.py").write_text(_MODEL_FILE.format(module=module), encoding="utf-8")


def _engine(bundle: Bundle, backend: str) -> EngineRecord:
    """The record of an engine that the bundle has, with its files as they were written. It may be for another machine.

    Raises:
        IncompatibleEngineError: there is none, or it is damaged.
    """
    folder, advice = bundle.engine_folder(backend), f"build it with: {rebuild_command(bundle, backend)}"
    try:
        record = EngineRecord.read(folder)
    except FileNotFoundError as error:
        raise IncompatibleEngineError(f"bundle {bundle.path} has no {backend} engine; {advice}") from error
    except (ValidationError, OSError) as error:
        raise IncompatibleEngineError(f"{folder}: its record cannot be read ({why(error)}); {advice}") from error
    for name, problem in file_problems(folder, record.files):
        raise IncompatibleEngineError(f"{backend} engine in {bundle.path}: its file {name!r:.80} {problem}; {advice}")
    return record


def _check_target(folder: Path, overwrite: bool) -> None:
    """See that a model may be written there."""
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise OutputError(f"{folder} exists already: choose another --name, or replace it with --overwrite")
    head = read_bytes(folder / CONFIGURATION, OutputError, what="configuration to replace", limit=_MOST_BYTES)
    if not head.startswith(MARK.encode()):
        raise OutputError(f"{folder} was not written by vpp-deploy triton and stays: choose another --name")
    listed = {CONFIGURATION, *(f"{VERSION}/{file}" for file in ("model.py", "model.onnx", "model.plan", MANIFEST_FILE))}
    own = {f"{VERSION}/{BUNDLE}": _is_bundle, f"{VERSION}/__pycache__": Path.is_dir}
    if other := next(others_in(folder, listed, is_own=lambda name: name in own and own[name](folder / name)), None):
        raise OutputError(f"{folder} holds more than such a model ({other}): move that away or choose another --name")


def _is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle and holds nothing else."""
    try:
        return not any(others_in_bundle(Bundle.open(folder, verify=False)))
    except BundleError:
        return False
