"""Configurations and weights of the golden models, read from the golden folder itself."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vpp_deploy.models.config import BackboneConfig, HeadConfig, KeepSchedule, model_config

ATOL = 1e-4
"""The issue's bar for features and logits."""

Arrays = dict[str, np.ndarray]


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def arrays(path: Path) -> Arrays:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


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


def head(folder: Path, name: str) -> tuple[int, int, HeadConfig]:
    """Input channels, classes and configuration of a golden head."""
    described = config(folder)["head"][name]
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
    """The synthetic full-size weights that `recipe_weights.py` describes, with `detector.` stripped."""
    spec = importlib.util.spec_from_file_location("recipe_weights", folder / "recipe_weights.py")
    recipe_weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe_weights)
    recipe = json.loads((folder / "recipe_config.json").read_text())
    entry = recipe["models"][model]
    shapes = json.loads((folder / entry["keys"]).read_text())
    prefix = "override/"
    changed = {name.removeprefix(prefix): array for name, array in overrides.items() if name.startswith(prefix)}
    weights = recipe_weights.make(shapes, {"seed": entry["seed"], "rules": recipe["recipe"]["rules"]}, changed)
    return {name.removeprefix("detector."): torch.from_numpy(np.asarray(array)) for name, array in weights.items()}


def official_config(model: str):
    """`tiny` or `small...` of the golden folder as a named configuration."""
    return model_config("vpp-tiny" if model.startswith("tiny") else "vpp-small", "0.55")


def with_selection_width(name: str, width: int | None):
    base = model_config(name, "0.55")
    return replace(base, backbone=replace(base.backbone, selection_width=width))
