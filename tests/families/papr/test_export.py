"""What an export of a PaPr model writes, for every family of architectures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import safetensors.torch
import timm
import torch

import vpp_deploy
from tests.exporters.reduced import reduced_bundle
from tests.families.papr.conftest import Hub
from tests.families.papr.random_models import lively
from tests.families.papr.tiny import assert_engine_agrees, tiny_models
from vpp_deploy import PaprConfig, RandomWeights, export, ops
from vpp_deploy.bundle import Bundle, ClassificationManifest
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.engines import TensorRtBuildOptions
from vpp_deploy.errors import CheckpointError, ConfigError, ExportError, UsageError
from vpp_deploy.families.papr.catalogue import base_model, lookup, papr_model
from vpp_deploy.families.papr.names import CATALOGUE

CASES = {
    "vit": PaprConfig("tiny_vit", 0.5, proposal="resnet18", size=(64, 96)),
    "dense vit": PaprConfig("tiny_vit", 1),
    "merging vit": PaprConfig("tiny_vit", 0.5, proposal="resnet18", merge=3),
    "dense merging vit": PaprConfig("tiny_vit", 1, merge=3),
    "convnext": PaprConfig("papr:convnext_atto", 0.65, size=(64, 96), stages=(1, 2)),
    "swin": PaprConfig("papr:tiny_swin", 0.65, proposal="resnet18", size=(64, 96)),
    "clips": PaprConfig("tiny_clips", 0.5, proposal="x3d_s"),
}
Exported = Callable[[str], vpp_deploy.Bundle]


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    with tiny_models():
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The bundle of a case, made once. Shared: do not write to it."""
    folder = tmp_path_factory.mktemp("exported")
    made: dict[str, vpp_deploy.Bundle] = {}

    def bundle(case: str) -> vpp_deploy.Bundle:
        if case not in made:
            out = folder / f"{case}.bundle"
            made[case] = export(CASES[case], out=out, random_weights=RandomWeights(1), batch=2)
        return made[case]

    return bundle


def manifest_of(bundle: vpp_deploy.Bundle) -> ClassificationManifest:
    return ClassificationManifest.of(bundle.manifest, "this test")


@pytest.mark.parametrize("case", CASES)
def test_every_family_runs_in_onnx_runtime_as_in_pytorch(case: str, exported: Exported) -> None:
    assert_engine_agrees(exported(case))


@pytest.mark.parametrize("case", CASES)
def test_every_family_runs_in_onnx_runtime_in_float16(case: str, exported: Exported, tmp_path: Path) -> None:
    assert_engine_agrees(reduced_bundle(exported(case), "float16", tmp_path / "half.bundle"), tolerance=0.05)


@pytest.mark.parametrize("case", CASES)
def test_every_family_builds_for_tensorrt_rtx(case: str, exported: Exported, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    bundle = Bundle.open(shutil.copytree(exported(case).path, tmp_path / "copy.bundle"))
    vpp_deploy.build_engine(bundle, "tensorrt-rtx", TensorRtBuildOptions(compute_capabilities=("8.9",)))


@pytest.mark.parametrize("case", CASES)
def test_the_manifest_describes_the_graph(case: str, exported: Exported) -> None:
    bundle = exported(case)
    manifest, graph = manifest_of(bundle), onnx.load(bundle.graph_path("model"), load_external_data=False).graph
    spec = manifest.graphs["model"]
    assert [described(value) for value in graph.input] == [(t.name, t.dtype, t.shape) for t in spec.inputs]
    assert [described(value) for value in graph.output] == [(t.name, t.dtype, t.shape) for t in spec.outputs]
    outputs = {tensor.name: tensor.shape for tensor in spec.outputs}
    expected = {"logits": (2, len(manifest.class_names))}
    for point in manifest.pruning_points:
        expected |= {point.significance_output: (2, *point.grid), point.kept_output: (2, point.kept)}
    assert outputs == expected
    assert vpp_deploy.Bundle.open(bundle.path).manifest == manifest


def described(value: onnx.ValueInfoProto) -> tuple[str, str, tuple[int, ...]]:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return value.name, dtype, tuple(dimension.dim_value for dimension in kind.shape.dim)


@pytest.mark.parametrize(
    ("case", "points"),
    [
        ("vit", [("patches", (4, 6), 12)]),  # int(0.5 · 25), the class token counted
        ("dense vit", []),
        ("merging vit", [("patches", (4, 4), 8)]),
        ("convnext", [("stage_1", (8, 12), 62), ("stage_2", (4, 6), 15)]),
        (
            "swin",
            [("stage_0", (16, 24), 249), ("stage_1", (8, 12), 62), ("stage_2", (4, 6), 15), ("stage_3", (2, 3), 3)],
        ),
        ("clips", [("tubelets", (2, 4, 4), 16)]),
    ],
)
def test_pruning_points(case: str, points: list[tuple[str, tuple[int, ...], int]], exported: Exported) -> None:
    manifest = manifest_of(exported(case))
    assert [(point.name, point.grid, point.kept) for point in manifest.pruning_points] == points
    assert all(point.keep_ratio == CASES[case].keep for point in manifest.pruning_points)


def test_images_and_clips(exported: Exported) -> None:
    images, clips = manifest_of(exported("vit")), manifest_of(exported("clips"))
    assert [(spec.name, spec.shape) for spec in images.graphs["model"].inputs] == [("images", (2, 64, 96, 3))]
    assert [(spec.name, spec.shape) for spec in clips.graphs["model"].inputs] == [("clips", (2, 4, 64, 64, 3))]
    assert (images.clip, images.frame_size) == (None, (64, 96))
    assert clips.clip is not None
    assert (clips.clip.frames, clips.frame_size, clips.batch) == (4, (64, 64), 2)
    assert (images.proposal, clips.proposal) == ("resnet18", "x3d_s")
    assert images.model.name == "papr:tiny_vit"
    assert (images.model.dataset, images.class_names[:2]) == ("custom", ("class 0", "class 1"))


def test_names_of_the_classes_that_the_library_knows(papr_bundle: vpp_deploy.Bundle) -> None:
    manifest = manifest_of(papr_bundle)
    assert (manifest.model.dataset, len(manifest.class_names)) == ("imagenet-1k", 1000)
    assert manifest.class_names[0].startswith("tench")
    assert (manifest.proposal, manifest.frame_size) == ("mobileone_s0", (64, 96))


def test_costs(exported: Exported) -> None:
    pruned, dense, merging = (manifest_of(exported(case)).cost for case in ("vit", "dense vit", "merging vit"))
    assert 0 < pruned.proposal < pruned.pruned
    assert (dense.pruned, dense.proposal) == (dense.dense, 0)
    assert merging.dense == dense.dense


def test_without_pruning_there_is_no_proposal(exported: Exported) -> None:
    bundle = exported("dense vit")
    manifest = manifest_of(bundle)
    assert (manifest.proposal, manifest.pruning_points) == (None, ())
    assert manifest.provenance.proposal_weights is None
    assert not any(name.startswith("proposal.") for name in safetensors.torch.load_file(bundle.weights_path))
    model = onnx.load(bundle.graph_path("model"), load_external_data=False)
    assert not any(node.op_type == "Conv" and "proposal" in node.name for node in model.graph.node)
    assert "SelectTokens" not in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("case", ["vit", "merging vit", "dense merging vit"])
def test_tokens_after_merging(case: str, exported: Exported) -> None:
    """Counted behind the last block of the model itself."""
    config = CASES[case]
    model = papr_model(config, weights=1, proposal_weights=1)
    vit: Any = model.base
    lengths: list[int] = []
    vit.model.norm.register_forward_hook(lambda module, arguments, output: lengths.append(output.shape[1]))
    with torch.no_grad():
        model(torch.zeros(1, 3, *(config.size or (64, 64))))
    final = manifest_of(exported(case)).final_tokens
    assert final == (lengths[0] if config.merge else None)


def test_used_ops_have_portable_bodies(exported: Exported) -> None:
    expected = {
        "vit": {"SelectTokens", "GatherTokens"},
        "merging vit": {"SelectTokens", "GatherTokens", "MatchTokens", "MergeTokens"},
        "dense vit": set(),
        "swin": {"SelectTokens", "GatherTokens", "ScatterTokens"},
    }
    for case, names in expected.items():
        model = onnx.load(exported(case).graph_path("model"), load_external_data=False)
        used = {node.op_type for node in model.graph.node if node.domain == ops.DOMAIN}
        assert used == names == {function.name for function in model.functions}, case


def test_weights_are_stored_under_the_models_own_names(exported: Exported) -> None:
    bundle = exported("vit")
    stored = safetensors.torch.load_file(bundle.weights_path)
    expected = papr_model(CASES["vit"], weights=1, proposal_weights=1).state_dict()
    assert {name.partition(".")[0] for name in expected} == {"base", "proposal"}
    assert all(torch.equal(stored[name], tensor) for name, tensor in expected.items())
    assert all(name.startswith("graph/") for name in stored.keys() - expected.keys())


def test_nothing_of_the_exporting_machine_is_in_the_graph(exported: Exported) -> None:
    content = exported("vit").graph_path("model").read_bytes()
    assert str(Path.cwd()).encode() not in content
    assert b"site-packages" not in content


def test_random_weights_are_said_to_be_random(exported: Exported) -> None:
    made = exported("vit").manifest.provenance
    assert made.proposal_weights is not None
    assert [(source.kind, source.seed) for source in (made.weights, made.proposal_weights)] == [("random", 1)] * 2


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of a tiny ViT with 7 classes and of a ResNet-18."""
    folder = tmp_path_factory.mktemp("checkpoints")
    paths = {"vit": folder / "vit.pth", "proposal": folder / "resnet18.safetensors"}
    torch.save({"model": lively(base_model(lookup("tiny_vit"), classes=7), 5).state_dict()}, paths["vit"])
    safetensors.torch.save_file(lively(timm.create_model("resnet18"), 6).state_dict(), paths["proposal"])
    return paths


def test_checkpoints_and_labels(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    labels = [f"bird {number}" for number in range(7)]
    bundle = export(
        PaprConfig("tiny_vit", 0.5, proposal="resnet18"),
        out=tmp_path / "birds.bundle",
        checkpoint=checkpoints["vit"],
        proposal_checkpoint=checkpoints["proposal"],
        labels=labels,
    )
    manifest = manifest_of(bundle)
    assert (manifest.model.dataset, manifest.class_names) == ("custom", tuple(labels))
    stored = safetensors.torch.load_file(bundle.weights_path)
    given = torch.load(checkpoints["vit"], weights_only=True)["model"]
    assert torch.equal(stored["base.model.head.weight"], given["head.weight"])
    proposal = safetensors.torch.load_file(checkpoints["proposal"])
    assert torch.equal(stored["proposal.network.conv1.weight"], proposal["conv1.weight"])
    made = manifest.provenance
    assert made.proposal_weights is not None
    assert [(source.kind, source.name, source.sha256) for source in (made.weights, made.proposal_weights)] == [
        ("checkpoint", path.name, sha256_of_file(path)) for path in checkpoints.values()
    ]
    assert_engine_agrees(bundle)


def test_what_is_fetched_is_named(checkpoints: dict[str, Path], hub: Hub, tmp_path: Path) -> None:
    shutil.copy(checkpoints["proposal"], hub("timm/resnet18.tv_in1k") / "model.safetensors")
    arguments = {"checkpoint": checkpoints["vit"], "labels": list("abcdefg")}
    config = PaprConfig("tiny_vit", 0.5, proposal="resnet18")
    bundle = export(config, out=tmp_path / "fetched.bundle", **arguments)
    source = bundle.manifest.provenance.proposal_weights
    assert source is not None
    assert (source.kind, source.name) == ("pretrained", "resnet18.tv_in1k")
    stored = safetensors.torch.load_file(bundle.weights_path)["proposal.network.conv1.weight"]
    assert torch.equal(stored, safetensors.torch.load_file(checkpoints["proposal"])["conv1.weight"])


@pytest.mark.parametrize(
    ("config", "arguments", "error", "message"),
    [
        ({}, {}, UsageError, "needs weights: give --pretrained"),
        ({}, {"random_weights": RandomWeights(), "pretrained": True}, UsageError, "exclude each other"),
        ({}, {"random_weights": RandomWeights(), "batch": 0}, UsageError, "at least 1"),
        ({}, {"random_weights": RandomWeights(), "precision": "int4"}, UsageError, "unknown precision 'int4'"),
        ({}, {"random_weights": RandomWeights(), "proposal_checkpoint": "x.pth"}, UsageError, "of no use"),
        ({"keep": 1}, {"checkpoint": "x.pth", "proposal_checkpoint": "y.pth"}, UsageError, "prunes nothing"),
        ({}, {"checkpoint": "no.pth"}, CheckpointError, "no such file"),
        ({}, {"pretrained": True}, CheckpointError, "not published by name"),
        ({"model": "papr:tiny_vi"}, {"random_weights": RandomWeights()}, ExportError, "did you mean papr:tiny_vit"),
        ({"model": "papr:resnet18"}, {"random_weights": RandomWeights()}, ExportError, "cannot be pruned"),
        ({"proposal": "resnet19"}, {"random_weights": RandomWeights()}, ExportError, "did you mean resnet18"),
        ({"proposal": "x3d_m"}, {"random_weights": RandomWeights()}, ExportError, "does not fit"),
        ({"size": (60, 64)}, {"random_weights": RandomWeights()}, ExportError, "use 64x64"),
        ({"model": "tiny_swin", "keep": 0.002}, {"random_weights": RandomWeights()}, ExportError, "none of the 196"),
        ({"stages": (1,)}, {"random_weights": RandomWeights()}, ConfigError, "no stages"),
        ({"model": "tiny_clips", "merge": 2}, {"random_weights": RandomWeights()}, ConfigError, "ViTs only"),
    ],
)
def test_a_failed_export_leaves_nothing(
    config: dict[str, Any], arguments: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    wanted = PaprConfig(**{"model": "tiny_vit", "keep": 0.5, **config})
    with pytest.raises(error, match=message):
        export(wanted, out=tmp_path / "x.bundle", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_and_labels_that_do_not_fit(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    config, before = PaprConfig("tiny_vit", 1), set(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=r"does not fit VisionTransformer.*head\.bias"):
        export(config, out=tmp_path / "x.bundle", checkpoint=checkpoints["vit"], labels=["a", "b"])
    with pytest.raises(CheckpointError, match="does not fit VisionTransformer"):
        export(config, out=tmp_path / "x.bundle", checkpoint=checkpoints["proposal"])
    assert set(tmp_path.iterdir()) == before


def test_a_name_needs_weights_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="papr:tiny_vit needs weights"):
        vpp_deploy.export("papr:tiny_vit", out=tmp_path / "x.bundle")


_PROPOSALS = ("mobileone_s0", "mobileone_s2", "mobileone_s4", "resnet18", "resnet50", "resnet152")
_CLIP_PROPOSALS = {"videomae_base": ("x3d_s", "x3d_m"), "videomae_large": ("slowonly_r50", "slowonly_r101")}
_IMAGE_MODELS = [name for name, entry in CATALOGUE.items() if not entry.clips]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        *((name, _PROPOSALS[number % len(_PROPOSALS)]) for number, name in enumerate(_IMAGE_MODELS)),
        *((name, proposal) for name, proposals in _CLIP_PROPOSALS.items() for proposal in proposals),
    ],
)
def test_the_whole_catalogue_at_its_real_size(name: str, proposal: str, tmp_path: Path) -> None:
    config = PaprConfig(name, 0.5, proposal=proposal)
    bundle = export(config, out=tmp_path / "real.bundle", random_weights=RandomWeights())
    assert_engine_agrees(bundle)
    shutil.rmtree(bundle.path)  # gigabytes, which pytest would keep
