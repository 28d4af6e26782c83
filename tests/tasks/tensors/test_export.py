"""What is exported of a model of plain tensors, what runs it, and which modules are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import vpp_deploy
from tests.tasks.tensors.models import FAMILY, PATCHES, Memory, pictures
from vpp_deploy import ops
from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.tensors_manifest import TensorsManifest
from vpp_deploy.errors import ExportError, UsageError


def test_the_manifest_names_tensors_and_state(memory: Bundle, sums: Bundle) -> None:
    manifest = TensorsManifest.of(Bundle.open(memory.path).manifest, "this test")
    assert (manifest.roles, manifest.model.family, manifest.task) == (("init", "step"), FAMILY.name, "tensors")
    assert [(spec.name, spec.dtype, spec.shape) for spec in manifest.inputs] == [("frame", "uint8", (1, 16, 24, 3))]
    assert [(spec.name, spec.dtype, spec.shape) for spec in manifest.outputs] == [
        ("logits", "float32", (1, 3)),
        ("kept", "int32", (1, 6)),
    ]
    assert [(state.name, state.dtype, state.shape) for state in manifest.state] == [
        ("memory", "float32", (1, 6, 8)),
        ("age", "int32", (1,)),
    ]
    assert manifest.provenance.weights.kind == "memory"
    other = TensorsManifest.of(sums.manifest, "this test")
    assert (other.roles, other.state) == (("model",), ())


def test_the_graphs_hold_vpp_nodes_and_share_their_weights(memory: Bundle) -> None:
    for role in ("init", "step"):
        graph = onnx.load(memory.graph_path(role), load_external_data=False)
        assert {node.op_type for node in ops.vpp_nodes(graph)} == {"SelectTokens", "GatherTokens"}
    stored = safetensors.torch.load_file(memory.weights_path)
    assert all(torch.equal(stored[name], tensor) for name, tensor in Memory().state_dict().items())


def test_it_builds_for_tensorrt_rtx(memory: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    own = Bundle.open(shutil.copytree(memory.path, tmp_path / "own.bundle"))
    vpp_deploy.build_engine(own, "tensorrt-rtx", compute_capabilities=("8.9",))
    assert (own.engine_folder("tensorrt-rtx") / "engine.json").is_file()


def test_a_checkpoint_and_random_weights(tmp_path: Path) -> None:
    trained = Memory()
    with torch.no_grad():
        trained.head.weight.add_(1)
    torch.save(trained.state_dict(), tmp_path / "trained.pth")
    bundle = vpp_deploy.export("tensors-test:memory", checkpoint=tmp_path / "trained.pth", out=tmp_path / "a.bundle")
    assert torch.equal(safetensors.torch.load_file(bundle.weights_path)["head.weight"], trained.head.weight)
    assert (bundle.manifest.provenance.weights.kind, bundle.manifest.provenance.weights.name) == (
        "checkpoint",
        "trained.pth",
    )
    report = vpp_deploy.check_parity(bundle, vpp_deploy.build_engine(bundle), pictures(3), frames=3)
    assert report.passed


class Given(nn.Module):
    """Computes what a test says. The first frame has no state."""

    family = FAMILY
    inputs: dict[str, Tensor]
    names: tuple[Sequence[str], Sequence[str]]

    def __init__(
        self,
        function: Callable[..., Any],
        outputs: Sequence[str] = ("out",),
        state: Sequence[str] = (),
        example: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.function = function
        self.inputs = {"x": torch.ones(2, 3) if example is None else example}
        self.names = outputs, state

    def forward(self, x: Tensor, *state: Tensor) -> Any:
        return self.function(x * self.scale if x.is_floating_point() else x, *state)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Given(lambda x: (x, x + 1, x + 2), ("a", "b")), "gives 3 tensors, and 2 are named: a, b"),
        (Given(lambda x: x + 1, ("a", "b")), "gives 1 tensors, and 2 are named: a, b"),
        (Given(lambda x, *state: (x + 1,), ("a",), ("s",)), "gives 1 tensors, and 2 are named: a, s"),
        (
            Given(lambda x, *state: (x + 1, *(state or (x,)), *state), ("a",), ("s",)),
            "gives 3 tensors, and 2 are named",
        ),
        (
            Given(lambda x, *state: (x + 1, torch.cat([x, *state])), ("a",), ("s",)),
            r"s is torch.float32 \[2, 3\] on the first frame and torch.float32 \[4, 3\] later",
        ),
        (
            Given(lambda x, *state: (x[: 1 + len(state)], x + 1), ("a",), ("s",)),
            r"a is torch.float32 \[1, 3\] on the first frame and torch.float32 \[2, 3\] later; shapes and types",
        ),
        (
            Given(lambda x, *state: (x + 1, state[0].int() if state else x * 2), ("a",), ("s",)),
            r"s is torch.float32 .* and torch.int32 .* later",
        ),
        (Given(lambda x: x.argmax(1)), r"cannot take or give torch.int64; cast it to one of float32, int32"),
        (Given(lambda x: x.double()), r"cannot take or give torch.float64"),
        (Given(lambda x: x + 1, example=torch.ones(2, 3, dtype=torch.int64)), "cannot take or give torch.int64"),
        (Given(lambda x, *state: (x + 1, x.argmax(1)), ("a",), ("s",)), "cannot take or give torch.int64"),
        (Given(lambda x: x[:0]), r"gives out as an empty tensor \[0, 3\]"),
        (Given(lambda x: {"out": x}), "gives out as dict; it must be a tensor"),
        (Given(lambda x: None), "gives out as NoneType; it must be a tensor"),
        (Given(lambda x: x if x.sum() > 3 else x + 1), "PyTorch could not trace the model graph"),
        (Given(lambda x: torch.fft.fft(x).real), "which is not in the set that all backends run|could not trace"),
    ],
)
def test_a_module_that_does_not_do_what_is_said_of_it(model: Given, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        vpp_deploy.export(model, out=tmp_path / "x.bundle")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_options_and_weights_that_it_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"family tensors-test has no option labels; it has none"):
        vpp_deploy.export(Memory(), out=tmp_path / "x.bundle", labels=["a"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (Given(lambda x, *state: (x * 2, x * 2), ("a",), ("s",)), 2),
        (Given(lambda x, *state: (y := sum(state, x) * 2, y), ("a",), ("s",)), 2),
        (Given(lambda x, *state: (sum(state, x) * 2, x), ("a",), ("s",)), 2),
        (Given(lambda x, *state: (sum(state, x) * 2, state[0] if state else x * 1), ("a",), ("s",)), 2),
    ],
    ids=["state not read", "one tensor twice", "an input kept", "a state handed on"],
)
def test_unusual_but_right(model: Given, count: int, tmp_path: Path) -> None:
    """Tensors that are an output and a state, or pass through unchanged."""
    bundle = vpp_deploy.export(model, out=tmp_path / "x.bundle")
    session = vpp_deploy.open_session(vpp_deploy.build_engine(bundle))
    state: tuple[Tensor, ...] = ()
    for number in range(3):
        x = torch.full((2, 3), float(number + 1))
        with torch.no_grad():
            out, *state = model(x, *state)  # type: ignore[assignment]
        assert torch.equal(torch.from_numpy(session({"x": x.numpy()})["a"]), out)
        assert torch.equal(torch.from_numpy(session.snapshot().tensors["s"]), state[0])
    assert len(bundle.manifest.graphs) == count


def test_patches_are_where_the_module_says(memory: Bundle) -> None:
    session = vpp_deploy.open_session(vpp_deploy.load_engine(memory))
    kept = session(pictures(1)[0])["kept"]
    assert sorted(set(kept[0].tolist())) == kept[0].tolist()
    assert 0 <= kept.min() <= kept.max() < PATCHES
