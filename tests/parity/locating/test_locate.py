"""Faults that a backend might have are planted into what it lowers, and each is found by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

import vpp_deploy
from vpp_deploy.bundle import Bundle
from vpp_deploy.cli.main import main
from vpp_deploy.demo.scenes import render_clip
from vpp_deploy.engines import lowered
from vpp_deploy.errors import ExitCode
from vpp_deploy.parity.locating.graph import CutGraph
from vpp_deploy.parity.locating.recording import Feed, Recording
from vpp_deploy.parity.locating.search import compare, locate
from vpp_deploy.tasks.segmentation.session import VideoSession

Fault = Callable[[onnx.ModelProto, onnx.NodeProto], None]


@pytest.fixture(scope="module")
def feeds(micro_bundle: Bundle) -> Sequence[Feed]:
    """What an engine is fed on the first frame and on a later one."""
    recording = Recording(vpp_deploy.load_engine(micro_bundle, threads=1), 3)
    session = VideoSession(recording)
    for image in render_clip("val", 0, 0, frames=3, size=(128, 192)).frames:
        session(image)
    assert [feed.role for feed in recording.feeds] == ["init", "step", "step"]
    return recording.feeds[::2]


def other_op(op: str) -> Fault:
    def plant(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
        node.op_type = op
        del node.attribute[:]

    return plant


def fewer_digits(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Its first input passes through float16."""
    place = list(model.graph.node).index(node)
    source = node.input[0]
    halves = helper.make_node("Cast", [source], [f"{source}_half"], to=onnx.TensorProto.FLOAT16)
    back = helper.make_node("Cast", [f"{source}_half"], [f"{source}_back"], to=onnx.TensorProto.FLOAT)
    node.input[0] = f"{source}_back"
    model.graph.node.insert(place, back)
    model.graph.node.insert(place, halves)


def smallest(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """It takes those with the lowest scores."""
    kept = [attribute for attribute in node.attribute if attribute.name != "largest"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("largest", 0)])


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Fault], None]:
    """Has the backend lower the first node whose name contains a text wrongly, in whatever graph it is."""

    def plant_(name: str, fault: Fault) -> None:
        lower = lowered.ops.lower

        def wrongly(model: onnx.ModelProto, *arguments: object, **named: object) -> onnx.ModelProto:
            made = lower(model, *arguments, **named)
            if node := next((node for node in made.graph.node if name in node.name), None):
                fault(made, node)
            return made

        monkeypatch.setattr(lowered.ops, "lower", wrongly)

    return plant_


def node_named(bundle: Bundle, module: str, op: str) -> str:
    """The name of the first such node in the step graph."""
    nodes = onnx.load(str(bundle.graph_path("step")), load_external_data=False).graph.node
    return next(node.name for node in nodes if module in node.name and node.op_type == op)


@pytest.mark.parametrize(
    ("module", "op", "fault", "kind"),
    [
        ("blocks.1", "Softmax", other_op("LogSoftmax"), "wrong"),
        ("blocks.0", "Gelu", other_op("Log"), "NaN"),
        ("blocks.1", "MatMul", fewer_digits, "precision"),
        ("", "SelectTokens", smallest, "decision"),
    ],
)
def test_a_fault_is_found_by_name(
    module: str, op: str, fault: Fault, kind: str, micro_bundle: Bundle, feeds: Sequence[Feed], plant: Callable
) -> None:
    name = node_named(micro_bundle, module, op)
    plant(f"{name}/TopK" if op == "SelectTokens" else name, fault)
    found = locate(micro_bundle, "onnxruntime", feeds[1:])
    assert found is not None
    assert found.difference is not None, found
    assert found.difference.kind == kind, found
    assert name.rpartition("/")[2] in found.ops, found
    assert len(found.ops) <= 4, found
    assert found.builds <= 24
    assert found.module in name.replace("/", ".")
    assert module in str(found)


def test_an_engine_that_computes_the_graph_has_nothing_to_find(micro_bundle: Bundle, feeds: Sequence[Feed]) -> None:
    assert locate(micro_bundle, "onnxruntime", feeds) is None


def test_the_meaning_of_a_graph_is_what_its_engine_gives(
    micro_bundle: Bundle, feeds: Sequence[Feed], tmp_path: Path
) -> None:
    graph = CutGraph(micro_bundle, "step", tmp_path)
    assert graph.cuts[0] == 0
    assert graph.cuts[-1] == len(graph.nodes)
    assert len(graph.cuts) > len(graph.nodes) / 2
    feed = feeds[1]
    meaning = graph.meaning(list(feed.outputs), feed.inputs)
    for name, value in feed.outputs.items():
        difference = compare(name, meaning[name], value)
        assert difference is None or difference.amount < 1e-4


def test_what_counts_as_a_difference() -> None:
    ones = np.ones(4, np.float32)
    assert compare("x", ones, ones.copy()) is None
    assert compare("x", np.array([-np.inf, 2], np.float32), np.array([-np.inf, 2], np.float32)) is None
    kinds = {
        "precision": ones * np.float32(1.001),
        "wrong": ones * 2,
        "NaN": np.array([1, np.nan, 1, 1], np.float32),
    }
    for kind, found in kinds.items():
        difference = compare("x", ones, found)
        assert difference is not None
        assert difference.kind == kind
    decision = compare("k", np.arange(4, dtype=np.int32), np.array([0, 1, 3, 2], np.int32))
    assert decision is not None
    assert (decision.kind, decision.amount) == ("decision", 0.5)


def test_parity_says_where_it_begins(
    micro_bundle: Bundle, tmp_path: Path, plant: Callable, capfd: pytest.CaptureFixture[str]
) -> None:
    """An engine that was built wrongly fails parity, and parity tells which op it is."""
    bundle = Bundle.open(shutil.copytree(micro_bundle.path, tmp_path / "wrong.bundle"))
    name = node_named(bundle, "blocks.1", "Softmax")
    plant(name, other_op("LogSoftmax"))
    vpp_deploy.build_engine(bundle, "onnxruntime", force=True)
    frames, report = pictures(tmp_path / "frames"), tmp_path / "report.json"
    words = ("parity", bundle.path, "--input", frames, "--frames", 2, "--locate", "--json", report)
    assert main([str(word) for word in words]) == ExitCode.PARITY
    said = " ".join(capfd.readouterr().out.split())
    assert f"{name.rpartition('/')[2]} computes something else" in said
    located = json.loads(report.read_text())["located"]
    assert (located["role"], located["difference"]["kind"]) == ("step", "wrong")


def pictures(folder: Path) -> Path:
    """Two, in a folder."""
    folder.mkdir()
    for number, image in enumerate(render_clip("val", 0, 0, frames=2, size=(128, 192)).frames):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder
