"""Published weights: every tensor of the file is used and every tensor of the model is filled, or it is an error."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch
from timm.models import get_pretrained_cfg, list_pretrained
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEForVideoClassification

from tests.families.papr.conftest import Hub
from tests.families.papr.random_models import lively
from vpp_deploy.errors import CheckpointError, ConfigError, ExportError
from vpp_deploy.families.papr import published
from vpp_deploy.families.papr.catalogue import base_model, lookup, papr_model
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.papr.inputs import check_classes
from vpp_deploy.families.papr.names import IMAGE_PROPOSALS, CatalogueEntry
from vpp_deploy.families.papr.published import fetch
from vpp_deploy.families.papr.weights import load_base

Tensors = dict[str, Tensor]
VIT, PROPOSAL, CLIPS = "test_vit.r160_in1k", "resnet18.tv_in1k", "somebody/videomae-small"
SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "num_labels": 3,
    "num_frames": 4, "image_size": 32,
}  # fmt: skip
ENTRY = CatalogueEntry("small_clips", CLIPS, {"num_labels": 3}, clips=True)


def clips_model() -> VideoMAEForVideoClassification:
    return lively(VideoMAEForVideoClassification(VideoMAEConfig(**SMALL)))


def hub_names(tensors: Tensors) -> Tensors:
    """A VideoMAE under the names of the published files: keys have no bias."""
    return {
        name.replace(".query.bias", ".q_bias").replace(".value.bias", ".v_bias"): tensor
        for name, tensor in tensors.items()
        if not name.endswith("key.bias")
    }


def store(
    hub: Hub,
    change: Callable[[Tensors], Tensors] = dict,
    names: Sequence[str] = (VIT, PROPOSAL, CLIPS),
) -> dict[str, nn.Module]:
    """Publish a model of each library; gives the models."""
    models = {name: clips_model() if name == CLIPS else lively(timm.create_model(name)) for name in names}
    for name, model in models.items():
        folder = hub(CLIPS if name == CLIPS else f"timm/{name}")
        tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
        tensors = change(hub_names(tensors) if name == CLIPS else tensors)
        safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    VideoMAEConfig(**SMALL).save_pretrained(hub(CLIPS))
    return models


def equal(loaded: nn.Module, published: nn.Module, but: str = "none") -> bool:
    expected = {key: value for key, value in published.state_dict().items() if not key.startswith(but)}
    given = loaded.state_dict()
    return given.keys() == expected.keys() and all(torch.equal(given[key], value) for key, value in expected.items())


def test_all_of_the_weights_arrive(hub: Hub) -> None:
    models = store(hub)
    made = papr_model(PaprConfig(VIT, 0.5, proposal="resnet18"))
    assert equal(made.base.model, models[VIT])
    assert equal(made.proposal.network, models[PROPOSAL], but="fc.")
    assert equal(base_model(ENTRY, pretrained=True), models[CLIPS])


LOADS = {
    "timm": lambda: papr_model(PaprConfig(VIT, 1.0)),
    "proposal": lambda: papr_model(PaprConfig("test_vit", 0.5, proposal="resnet18"), weights=0),
    "transformers": lambda: base_model(ENTRY, pretrained=True),
}
PUBLISHED = {"timm": VIT, "proposal": PROPOSAL, "transformers": CLIPS}
BIASES = {"timm": "blocks.0.attn.qkv.bias", "proposal": "layer1.0.bn1.bias", "transformers": "layernorm_before.bias"}


@pytest.mark.parametrize("library", LOADS)
def test_every_other_weights_are_an_error(library: str, hub: Hub) -> None:
    def without(tensors: Tensors) -> Tensors:
        name = next((key for key in tensors if key.endswith(BIASES[library])), None)
        return {key: tensor for key, tensor in tensors.items() if key != name}

    def wrong_shape(tensors: Tensors) -> Tensors:
        return {
            key: tensor[:-1].clone() if key.endswith(BIASES[library]) else tensor for key, tensor in tensors.items()
        }

    def with_more(tensors: Tensors) -> Tensors:
        return {**tensors, "surplus.weight": torch.zeros(1)}

    for change, named in ((without, BIASES[library]), (wrong_shape, BIASES[library]), (with_more, "surplus.weight")):
        store(hub, change, [PUBLISHED[library]])
        with pytest.raises(CheckpointError, match=re.escape(named)) as caught:
            LOADS[library]()
        assert "\n" not in str(caught.value)


def test_biases_that_are_lost_are_an_error(hub: Hub) -> None:
    """As versions of transformers lost them, without a word."""
    store(hub, lambda tensors: {key: value for key, value in tensors.items() if "_bias" not in key}, [CLIPS])
    with pytest.raises(CheckpointError, match=r"4 missing: .*query\.bias"):
        LOADS["transformers"]()


def test_no_head_is_made_up(hub: Hub) -> None:
    store(hub, names=[VIT])
    with pytest.raises(ConfigError, match=r"7 labels or classes do not fit test_vit\.r160_in1k: .* have 1000"):
        papr_model(PaprConfig(VIT, 1.0, classes=7))


def test_a_hub_that_does_not_answer_is_not_waited_for(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something accepts connections, and no more."""
    del hub
    monkeypatch.setattr(published, "_PATIENCE", 0.1)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/model"
        monkeypatch.setattr(published, "hf_hub_url", lambda repository, name: url)
        asked: list[float] = []
        ask = published.get_hf_file_metadata

        def noting(url: str, timeout: float) -> object:
            asked.append(timeout)
            return ask(url, timeout=timeout)

        monkeypatch.setattr(published, "get_hf_file_metadata", noting)
        with pytest.raises(CheckpointError, match=r"the weights of a/b could not be fetched: .*timed out"):
            published.fetch("a/b")
    assert asked == [0.1]


@pytest.mark.parametrize("library", LOADS)
def test_without_network_and_cache(library: str, hub: Hub) -> None:
    with pytest.raises(CheckpointError, match=r"the weights of .* could not be fetched: .*; give a checkpoint"):
        LOADS[library]()


def test_a_configuration_that_makes_no_model(hub: Hub) -> None:
    store(hub, names=[CLIPS])
    for content in ("{", '{"hidden_size": "many"}', '{"hidden_size": 7, "num_attention_heads": 3}'):
        (hub(CLIPS) / "config.json").write_text(content)
        with pytest.raises(CheckpointError) as caught:
            base_model(ENTRY, pretrained=True)
        assert "\n" not in str(caught.value)


def test_a_repository_in_a_folder(hub: Hub) -> None:
    models = store(hub)
    assert equal(base_model(replace(ENTRY, model=str(hub(CLIPS))), pretrained=True), models[CLIPS])
    with pytest.raises(CheckpointError, match=r"publishes no other\.bin"):
        fetch(str(hub(CLIPS)), ("other.bin",))


def as_mmaction(tensors: Tensors) -> Tensors:
    renamed: Tensors = {}
    for name, tensor in hub_names(tensors).items():
        if ".attention.attention.key." in name or ".attention.attention.value.weight" in name:
            continue
        if ".attention.attention.query.weight" in name:
            parts = [tensors[name.replace("query", part)] for part in ("query", "key", "value")]
            name, tensor = name.replace(".attention.attention.query.", ".attn.qkv."), torch.cat(parts)
        for ours, theirs in (
            ("videomae.embeddings.patch_embeddings.projection", "backbone.patch_embed.projection"),
            ("videomae.encoder.layer.", "backbone.blocks."), ("classifier.", "cls_head.fc_cls."),
            ("layernorm_before", "norm1"), ("layernorm_after", "norm2"), ("attention.output.dense", "attn.proj"),
            ("attention.attention.", "attn."), ("intermediate.dense", "mlp.layers.0.0"),
            ("output.dense", "mlp.layers.1"),
        ):  # fmt: skip
            name = name.replace(ours, theirs)
        renamed[f"backbone.{name}" if name.startswith("fc_norm") else name] = tensor
    return renamed


def with_key_bias(tensors: Tensors) -> Tensors:
    """As transformers 5.5 to 5.17 save it; a bias of keys changes no result."""
    keys = {name.replace("query", "key"): tensor + 1 for name, tensor in tensors.items() if "query.bias" in name}
    assert keys
    return {**tensors, **keys}


@pytest.mark.parametrize("layout", [dict, hub_names, as_mmaction, with_key_bias])
def test_layouts_of_videomae(layout: Callable[[Tensors], Tensors], tmp_path: Path) -> None:
    trained = clips_model()
    torch.save(layout(trained.state_dict()), tmp_path / "file.bin")
    assert equal(load_base(clips_model().requires_grad_(False), tmp_path / "file.bin"), trained)


def test_what_transformers_itself_saves(tmp_path: Path) -> None:
    trained = clips_model()
    trained.save_pretrained(tmp_path)
    assert equal(load_base(VideoMAEForVideoClassification(VideoMAEConfig(**SMALL)), tmp_path), trained)


def test_a_key_bias_of_the_model_is_zero(tmp_path: Path) -> None:
    """Of transformers 5.5 to 5.17: published files have none."""
    trained, model = clips_model(), clips_model()
    for layer in model.videomae.encoder.layer:
        attention = layer.attention.attention
        attention.key = nn.Linear(attention.key.in_features, attention.key.out_features)
    torch.save(hub_names(trained.state_dict()), tmp_path / "file.bin")
    loaded = load_base(model, tmp_path / "file.bin")
    clip = torch.randn(1, 4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(clip).logits, trained(clip).logits)
    assert all(not tensor.any() for name, tensor in loaded.state_dict().items() if name.endswith("key.bias"))


def test_whether_published_weights_tell_classes_apart() -> None:
    """Of all that timm publishes: those that end in a head for an embedding, or in none, are refused."""
    refused = []
    for name in list_pretrained():
        settings = get_pretrained_cfg(name).to_dict()
        count = settings["num_classes"]
        base = type("Base", (), {"num_classes": count, "pretrained_cfg": settings})
        try:
            check_classes(CatalogueEntry(name, name), base)
        except ExportError:
            refused.append(name)
        else:
            assert "clip" not in name or "_ft_in" in name, name
            assert count >= 1000, name
    assert {"vit_base_patch16_clip_224.openai", "convnext_base.clip_laion2b", "vit_base_patch16_siglip_224.webli"} < {
        *refused
    }
    assert not {"vit_base_patch16_clip_224.openai_ft_in1k", "vit_tiny_patch16_224.augreg_in21k"} & {*refused}


def test_an_image_tower_needs_labels() -> None:
    tower = "vit_base_patch32_clip_quickgelu_224"
    with torch.device("meta"):
        with pytest.raises(ExportError, match=r"gives 512 numbers that are no label set .* --labels"):
            check_classes(lookup(tower), timm.create_model(tower))
        with pytest.raises(ExportError, match=r"has no class head, .* --labels"):
            check_classes(lookup("vit_base_patch14_dinov2"), timm.create_model("vit_base_patch14_dinov2"))


def test_every_image_proposal_is_published() -> None:
    assert all(get_pretrained_cfg(tagged).hf_hub_id for tagged in IMAGE_PROPOSALS.values())
