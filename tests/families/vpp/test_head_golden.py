"""The Mask2Former head against the original, without and with track queries, and with unused track slots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.families.vpp import golden
from tests.golden_data import Arrays, part, read_arrays, read_weights
from vpp_deploy.families.vpp.detector import VppDetector
from vpp_deploy.families.vpp.mask2former import Mask2FormerHead

pytestmark = pytest.mark.golden
RUNS = ["plain", "track"]


def load_head(folder: Path, name: str) -> Mask2FormerHead:
    head = Mask2FormerHead(*golden.head(folder, name))
    head.load_state_dict(read_weights(folder / f"{name}.safetensors"), strict=True)
    return head.eval().requires_grad_(False)


def inputs(data: Arrays, run: str) -> tuple[tuple[torch.Tensor, ...], torch.Tensor | None]:
    features = tuple(torch.from_numpy(part(data, f"feat{level}", "array")) for level in (1, 2, 3, 4))
    return features, torch.from_numpy(data["track_queries_in"])[None] if run == "track" else None


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", golden.head_names())
def test_final_outputs(vpp_golden: Path, name: str, run: str) -> None:
    data = read_arrays(vpp_golden / f"{name}.npz")
    head = load_head(vpp_golden, name)
    output = head(*inputs(data, run))
    queries = output.queries[-1]
    want = {part: data.get(f"{run}_{part}", data.get(f"{run}_{part}_all", [None])[-1]) for part in ("cls", "mask")}
    np.testing.assert_allclose(head.class_logits(queries)[0], want["cls"], atol=golden.ATOL)
    np.testing.assert_allclose(head.mask_logits(queries, output.mask_features)[0], want["mask"], atol=golden.ATOL)
    np.testing.assert_allclose(queries[0], data[f"{run}_query"], atol=golden.ATOL)


@pytest.mark.parametrize("run", RUNS)
def test_every_layer_of_the_micro_head(vpp_golden: Path, run: str) -> None:
    data = read_arrays(vpp_golden / "head_micro.npz")
    head = load_head(vpp_golden, "head_micro")
    features, tracks = inputs(data, run)
    pixels = head.pixel_decoder(features)
    np.testing.assert_allclose(pixels.mask_features, data["mask_feature"], atol=golden.ATOL)
    for memory, stride in zip(pixels.memories, (32, 16, 8), strict=True):
        wanted = next(array for key, array in data.items() if key.endswith(f"_stride{stride}"))
        np.testing.assert_allclose(memory, wanted, atol=golden.ATOL)
    output = head.decode(pixels, tracks, None)
    for number, queries in enumerate(output.queries):
        np.testing.assert_allclose(head.class_logits(queries)[0], data[f"{run}_cls_all"][number], atol=golden.ATOL)
        masks = head.mask_logits(queries, output.mask_features)[0]
        np.testing.assert_allclose(masks, data[f"{run}_mask_all"][number], atol=golden.ATOL)


def test_unused_track_slots_change_nothing(vpp_golden: Path) -> None:
    data = read_arrays(vpp_golden / "head_micro.npz")
    head = load_head(vpp_golden, "head_micro")
    features, tracks = inputs(data, "track")
    count, spare = tracks.shape[1], 5
    padded = torch.cat([tracks, torch.full((1, spare, tracks.shape[2]), 7.0)], dim=1)
    valid = torch.arange(count + spare)[None] < count
    queries = head(features, padded, valid).queries[-1][:, : -spare or None]
    np.testing.assert_allclose(queries[0], data["track_query"], atol=golden.ATOL)


@pytest.mark.parametrize("model", golden.official_sizes())
def test_official_size_head(vpp_golden: Path, model: str) -> None:
    data = read_arrays(vpp_golden / f"official_size_{model}.npz")
    frames = [t for t in range(len(data["frames"])) if f"head_t{t}_track_queries_in" in data]
    if not frames:
        pytest.skip(f"the golden data have no head of {model}")
    state_dict = golden.generated_state(vpp_golden, model, data)
    detector = VppDetector(golden.official_config(model)).eval().requires_grad_(False)
    detector.load_state_dict(state_dict, strict=True)
    head, state = detector.panoptic_head, None
    for t in frames:
        tracks = torch.from_numpy(data[f"head_t{t}_track_queries_in"])[None]
        output = detector(torch.from_numpy(data["frames"][t])[None], state, tracks, mode="threshold")
        state = output.state
        found = {
            "cls": head.class_logits(output.queries)[0],
            "mask": head.mask_logits(output.queries, output.head.mask_features)[0],
            "query": output.queries[0],
        }
        for name in found.keys() & {name.removeprefix(f"head_t{t}_") for name in data}:
            np.testing.assert_allclose(found[name], data[f"head_t{t}_{name}"], atol=golden.ATOL, err_msg=name)
