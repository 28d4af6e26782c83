"""A page with everything in it, made once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import vpp_deploy
from tests.cli.conftest import bundle, cli  # noqa: F401 - fixtures
from tests.cli.test_parity import wrong_engine  # noqa: F401 - a fixture
from tests.media.clips import write_clip
from tests.report import results
from vpp_deploy.cli.main import main

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "\"'><img src=x onerror='window.hacked = 2'>",
    "</style></svg>{{ 7 * 7 }}&lt;",
    "right‮to left",
    "\x1b[31mred\x07 $\\frac{1}{2}$",
)
"""Names as nobody would give them: one for each class of the test model, which has five."""


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=6, size=(60, 90))


@pytest.fixture(scope="session")
def own_bundle(micro_bundle: vpp_deploy.Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With hostile names wherever a name can be."""
    path = tmp_path_factory.mktemp("bundle") / "a<b onload='x'>.bundle"
    shutil.copytree(micro_bundle.path, path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["class_names"] = [*HOSTILE, *manifest["class_names"][len(HOSTILE) :]]
    manifest["model"]["name"] = HOSTILE[0]
    manifest["model"]["dataset"] = HOSTILE[1]
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.fixture(scope="session")
def check(own_bundle: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A check of its engine that was really made: JSON, and beside it `page.html`."""
    folder = tmp_path_factory.mktemp("check")
    json_file, page = folder / "parity.json", folder / "page.html"
    words = ["parity", own_bundle, "--input", clip, "--frames", 3, "--json", json_file, "--report", page]
    assert main([str(word) for word in words]) == 0
    return json_file


@pytest.fixture(scope="session")
def full_page(own_bundle: Path, check: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that a report can show, with hostile names in all of it."""
    folder = tmp_path_factory.mktemp("page")
    parity, benchmark, evaluation, page = (folder / name for name in ("p.json", "b.json", "e.json", "report.html"))
    content = json.loads(check.read_text())
    content["notes"] = list(HOSTILE)
    content["versions"][HOSTILE[2]] = HOSTILE[1]
    for mode in ("teacher_forced", "free_running"):
        for tensors in (content["tensors"][mode], *(row[mode]["tensors"] for row in content["per_frame"])):
            tensors[HOSTILE[0]] = tensors.pop("class_logits")
            tensors[HOSTILE[4]] = tensors.pop("mask_logits")
    parity.write_text(json.dumps(content))
    benchmark.write_text(json.dumps(results.benchmark(own_bundle.name, HOSTILE[0])))
    evaluation.write_text(json.dumps(results.evaluation(own_bundle.name, HOSTILE[1], HOSTILE[3])))
    measured = ["--parity", parity, "--benchmark", benchmark, "--evaluate", evaluation]
    words = ["report", own_bundle, "-o", page, "--input", clip, "--frames", 3, "--video", clip, *measured]
    assert main([str(word) for word in words]) == 0
    return page
