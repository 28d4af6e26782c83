"""A keep ratio so small that no patch stays: the class token goes on alone, as in the original."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer

import vpp_deploy
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from tests.families.papr.random_models import features, lively, small_convnext, small_swin, small_vit
from tests.families.papr.tiny import assert_engine_agrees, pixels, tiny_models
from vpp_deploy.bundle import Bundle, ClassificationManifest
from vpp_deploy.errors import ExportError
from vpp_deploy.exporters.classifier_output import ClassifierOutput
from vpp_deploy.families.papr.flops import StageTokens, count_flops
from vpp_deploy.families.papr.model import PaprModel
from vpp_deploy.frames import Frame
from vpp_deploy.tasks.classification.inspect import describe
from vpp_deploy.tasks.classification.options import USUAL_STYLE
from vpp_deploy.tasks.classification.overlay import draw_classification
from vpp_deploy.tasks.overlay_style import OverlayStyle

KEEP = 0.05
"""int(0.05 · 17) = int(0.05 · 18) = 0: of 16 patches, with or without a distillation token, none stays."""


def run(model: torch.nn.Module, keep: float = KEEP, merge: int = 0, batch: int = 2) -> ClassifierOutput:
    images = torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        output: ClassifierOutput = PaprModel(model, None, keep, merge=merge)(images, features(batch))
    return output


def by_hand(model: VisionTransformer) -> torch.Tensor:
    """The formula: class token and position, nt = int(n · z) = 0 patches, blocks, norm, head on token 0."""
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert model.cls_token is not None
        tokens = model._pos_embed(model.patch_embed(images))[:, : model.num_prefix_tokens]
        for block in model.blocks:
            tokens = block(tokens)
        logits: torch.Tensor = model.forward_head(model.norm(tokens))
    return logits


def distilled() -> VisionTransformerDistilled:
    return lively(VisionTransformerDistilled(img_size=64, embed_dim=32, depth=2, num_heads=2, num_classes=5))


@pytest.mark.parametrize("make", [small_vit, distilled, lambda: small_vit(reg_tokens=2)])
def test_only_the_prefix_tokens_go_on(make) -> None:  # type: ignore[no-untyped-def]
    model = make()
    output = run(model)
    torch.testing.assert_close(output.logits, by_hand(model), rtol=0, atol=2e-5)
    assert output.kept[0].shape == (2, 0)
    assert output.kept[0].dtype == torch.int32
    assert output.significance[0].shape == (2, 4, 4)


def test_what_is_in_the_picture_does_not_matter_any_more() -> None:
    logits = run(small_vit()).logits
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-6)
    assert logits.std() > 0.01


def test_merging_finds_nothing_to_merge() -> None:
    torch.testing.assert_close(run(small_vit(), merge=2).logits, by_hand(small_vit()), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (small_vit(global_pool="avg", class_token=False), "none of the 16 patches"),
        (small_vit(global_pool="avg", fc_norm=True), "none of the 16 patches"),  # MAE: a class token that is not read
        (small_swin(), "none of the 16 patches of stage 2"),
        (small_convnext(), "none of the 16 patches of stage 2"),
    ],
    ids=["GAP", "MAE", "Swin", "ConvNeXt"],
)
def test_models_that_pool_patches_still_refuse(model: torch.nn.Module, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        run(model)


def test_costs_by_hand() -> None:
    """Patch embedding, four blocks of one token, head; and the proposal, whose map is still an output."""
    report = count_flops(PaprModel(small_vit(), torch.nn.Conv2d(3, 8, 16, 16), KEEP), (3, 64, 64))
    width = 32
    assert report.pruned == 16 * 768 * width + 4 * (12 * width**2 + 2 * width) + 5 * width + report.proposal
    assert report.stages == (StageTokens(16, 0),)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """A tiny ViT that keeps no patch and would merge tokens, with an engine. Shared: do not write to it."""
    with tiny_models():
        made = vpp_deploy.export(
            vpp_deploy.PaprConfig("tiny_vit", KEEP, proposal="resnet18", merge=2),
            out=tmp_path_factory.mktemp("alone") / "alone.bundle",
            random_weights=vpp_deploy.RandomWeights(1),
            batch=2,
        )
        vpp_deploy.build_engine(made, "onnxruntime")
        yield made


def test_the_bundle_has_a_point_without_an_output_for_it(bundle: Bundle) -> None:
    manifest = ClassificationManifest.of(Bundle.open(bundle.path).manifest, "this test")
    (point,) = manifest.pruning_points
    assert (point.kept, point.kept_output, point.keep_ratio, point.grid) == (0, None, KEEP, (4, 4))
    assert manifest.final_tokens == 1
    assert ("patches", "16 -> 0") in describe(bundle).facts
    outputs = {spec.name: spec.shape for spec in manifest.graphs["model"].outputs}
    assert outputs == {"logits": (2, 5), "significance_patches": (2, 4, 4)}
    graph = onnx.load(bundle.graph_path("model"), load_external_data=False).graph
    assert not {"SelectTokens", "GatherTokens", "TopK"} & {node.op_type for node in graph.node}
    assert manifest.cost.proposal < manifest.cost.pruned < manifest.cost.dense + manifest.cost.proposal


def test_onnx_runtime_computes_the_same(bundle: Bundle) -> None:
    assert_engine_agrees(bundle)


def test_it_builds_for_tensorrt_rtx(bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    own = Bundle.open(shutil.copytree(bundle.path, tmp_path / "copy.bundle"))
    vpp_deploy.build_engine(own, "tensorrt-rtx", compute_capabilities=("8.9",))


def test_session_and_overlay(bundle: Bundle) -> None:
    session = vpp_deploy.ClassificationSession(vpp_deploy.load_engine(bundle))
    images = pixels(bundle)["images"]
    frames = [Frame(image, (64, 64), image, index) for index, image in enumerate(images)]
    for (sample, result), image in zip(session.run(frames), images, strict=True):
        assert result.kept["patches"].shape == (0,)
        assert result.kept["patches"].dtype == np.int32
        assert result.keep_ratios == {"patches": 0.0}
        assert result.significance["patches"].shape == (4, 4)
        drawn = draw_classification(sample[0], result, session.manifest, OverlayStyle(USUAL_STYLE.parts, header=False))
        assert drawn.shape == image.shape
        assert not np.array_equal(drawn, image)


def test_the_command_line_from_inference_to_inspection(
    bundle: Bundle,
    cli: Cli,  # noqa: F811
    tmp_path: Path,
) -> None:
    own = shutil.copytree(bundle.path, tmp_path / "own.bundle")
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.new("RGB", (80, 70), (70 * number, 9, 200)).save(tmp_path / "photos" / f"{number}.png")
    ran = cli("infer", own, tmp_path / "photos", "-o", tmp_path / "seen", "--json", tmp_path / "found.jsonl")
    assert ran.code == 0
    assert "patches 0%" in ran.out
    records = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert [(record["kept"], record["keep_ratios"]) for record in records] == [({"patches": []}, {"patches": 0.0})] * 3
    assert len(list((tmp_path / "seen").glob("*.png"))) == 3
    measured = cli("parity", own, "--input", tmp_path / "photos", "--json", tmp_path / "report.json")
    assert measured.code == 0, measured.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["passed"], report["overlaps"]["patches"]["minimum"]) == (True, 1.0)
    page = cli("inspect", own).out
    assert "4x4" in page
    assert "passed" in page
    assert json.loads(cli("inspect", own, "--json").out)["manifest"]["pruning_points"][0]["kept_output"] is None
