"""Configurations and weights of the golden models, read from the golden folder itself."""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.golden_data import VPP, Array, Arrays, part, read_json, read_weights, there
from vpp_deploy.families.vpp.backbone import SelectiveViTAdapter
from vpp_deploy.families.vpp.config import BackboneConfig, DetectorConfig, HeadConfig, KeepSchedule, model_config

ATOL = 1e-4
"""The issue's bar for features and logits."""

MODES = {"thr": "threshold", "stk": "topk"}
"""The prefix of a run's arrays, and the selection it was made with."""


def config(folder: Path) -> dict[str, Any]:
    content = read_json(folder / "config.json")
    assert isinstance(content, dict)
    return content


def head_names() -> list[str]:
    """The golden heads that the configuration describes."""
    path = VPP.folder / "config.json"
    described = config(VPP.folder)["head"] if path.is_file() else {}
    return [name for name, head in described.items() if "sizes" in head] or ["head_micro"]


def official_sizes() -> list[str]:
    """The full-size models with generated weights: those whose arrays are there."""
    start = "official_size_"
    found = sorted(path.stem.removeprefix(start) for path in VPP.folder.glob(f"{start}*.npz"))
    return found or ["tiny"]


def micro_backbone(folder: Path) -> tuple[BackboneConfig, KeepSchedule]:
    arguments = config(folder)["backbone"]["arguments"]
    backbone = BackboneConfig(
        width=arguments["embed_dim"],
        heads=arguments["num_heads"],
        stem_width=arguments["conv_inplane"],
        deform_heads=arguments["deform_num_heads"],
        deform_points=arguments["n_points"],
    )
    mapping = arguments["matching_module"]["keep_ratio"]
    return backbone, KeepSchedule("custom", mapping, tuple(arguments["selective_module_kr"]))


def pruned_blocks(folder: Path) -> tuple[int, ...]:
    """The blocks before which a selective module chooses."""
    return tuple(config(folder)["backbone"]["arguments"]["select_module_ids"])


def loaded_backbone(folder: Path) -> SelectiveViTAdapter:
    model = SelectiveViTAdapter(*micro_backbone(folder))
    model.load_state_dict(read_weights(folder / "backbone_micro.safetensors"), strict=True)
    return model.eval()


def backbone_cases(folder: Path) -> list[Path]:
    """The files of the backbone's runs; the test is skipped where there is none."""
    return sorted(folder.glob("backbone_micro_case*.npz")) or [there(folder / "backbone_micro_caseA.npz")]


def head(folder: Path, name: str) -> tuple[int, int, HeadConfig]:
    """Input channels, classes and configuration of a golden head."""
    described = part(config(folder)["head"], name, "head")
    sizes = described["sizes"]
    layers = HeadConfig(
        width=sizes["feat"],
        encoder_layers=sizes["enc_layers"],
        encoder_ffn=sizes["enc_ffn"],
        decoder_layers=sizes["dec_layers"],
        decoder_ffn=sizes["dec_ffn"],
        queries=sizes["queries"],
        heads=described["heads"],
        norm_groups=described["gn_groups"],
    )
    return described["in_channels"][0], sizes["classes"], layers


def generated_state(folder: Path, model: str, overrides: Arrays) -> dict[str, torch.Tensor]:
    """The synthetic full-size weights that `recipe_config.json` describes, with `detector.` stripped.

    Every tensor comes from its name, its shape and the first rule whose pattern fits the name; `override/...` arrays
    replace some.
    """
    recipe = read_json(folder / "recipe_config.json")
    entry = part(recipe["models"], model, "recipe for")
    shapes = read_json(folder / entry["keys"])
    weights = {
        name: _generated(name, shape, entry["seed"], recipe["recipe"]["rules"]) for name, shape in shapes.items()
    }
    weights |= {name.removeprefix("override/"): a for name, a in overrides.items() if name.startswith("override/")}
    digest = hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights))).hexdigest()
    assert digest == entry["sha256_of_sorted_weights"]
    return {name.removeprefix("detector."): torch.from_numpy(array) for name, array in weights.items()}


def _generated(name: str, shape: list[int], seed: int, rules: list[tuple[str, str, float, float]]) -> Array:
    """One tensor: normally distributed, its exponential, or constant; `fan` is scaled by the inputs of a row."""
    kind, mean, scale = next(rule[1:] for rule in rules if re.search(rule[0], name))
    if kind == "const":
        return np.full(shape, int(mean), np.int64)
    normal = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
    values = mean + scale * normal / (math.sqrt(float(np.prod(shape[1:]))) if kind == "fan" else 1.0)
    return np.asarray(np.exp(values) if kind == "exp" else values, np.float32)


def official_config(model: str) -> DetectorConfig:
    """`tiny` or `small...` of the golden folder as a named configuration."""
    return model_config("vpp-tiny" if model.startswith("tiny") else "vpp-small", "0.55")


def with_selection_width(name: str, width: int | None) -> DetectorConfig:
    base = model_config(name, "0.55")
    return replace(base, backbone=replace(base.backbone, selection_width=width))
