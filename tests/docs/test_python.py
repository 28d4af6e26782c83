"""Every Python program that the documentation shows names what there is; those that need no more are run."""

from __future__ import annotations

import ast
import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vpp_deploy as vd
from tests.conftest import REPOSITORY
from tests.docs import pages
from tests.media.clips import write_clip

BLOCKS = [block for page in pages.PAGES for block in pages.blocks(page) if block.language == "python"]
RUN = {"README.md", "docs/quickstart.md", "docs/serving.md", "docs/papr.md", "docs/dynamicvit.md", "docs/evit.md"}
"""Pages whose programs run here. Their exports are left out: the bundles are there, small ones."""
ELSEWHERE = {
    "docs/live.md": "cameras",
    "examples/own_model/README.md": "a package that tests/examples installs, and runs",
}
"""What the programs of the other pages need."""
OWN = ("vpp_deploy", "own_model", "examples", "benchmarks")


def names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Modules of this repository, and what is taken from them."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in OWN:
            yield from ((node.module, one.name) for one in node.names)
        if isinstance(node, ast.Import):
            aliases |= {one.asname or one.name: one.name for one in node.names if one.name.partition(".")[0] in OWN}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield aliases[node.value.id], node.attr


def test_there_are_programs_and_each_is_run_or_needs_something() -> None:
    found = {block.page for block in BLOCKS}
    assert found == RUN | set(ELSEWHERE)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_program_names_what_there_is(block: pages.Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "examples" / "own_model"))
    found = list(names(ast.parse(block.text)))
    assert found
    for module, name in found:
        assert hasattr(importlib.import_module(module), name), (module, name)


class WithoutExports(ast.NodeTransformer):
    """Opens the bundle that is there, instead of exporting it."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node.func) != "vd.export":
            return node
        out = next(word.value for word in node.keywords if word.arg == "out")
        return ast.parse(f"vd.Bundle.open({ast.unparse(out)})", mode="eval").body


@pytest.fixture
def folder(
    micro_bundle: vd.Bundle, papr_bundle: vd.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> Path:
    """What programs read: bundles, a clip, pictures."""
    for name in ("small", "demo"):
        shutil.copytree(micro_bundle.path, tmp_path / f"{name}.bundle")
    for name in ("vit", "dynamic", "evit"):
        shutil.copytree(papr_bundle.path, tmp_path / f"{name}.bundle")
    write_clip(tmp_path / "street.mp4", frames=4, size=(60, 90))
    for place in (tmp_path / "photos", tmp_path / "clips" / "JPEGImages" / "val-0-00000"):
        place.mkdir(parents=True)
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 256, (60, 90, 3), np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.page in RUN], ids=str)
def test_a_program_runs(block: pages.Block, folder: Path) -> None:
    known = {"vd": vd, "frame": np.zeros((60, 90, 3), np.uint8), "next_frame": np.ones((60, 90, 3), np.uint8)}
    if "vd.load(" not in block.text and "model" in block.text:
        known["model"] = vd.load(folder / "small.bundle", threads=1)
    text = block.text.replace("127.0.0.1:9100", "127.0.0.1:0")  # that port may be taken
    exec(compile(WithoutExports().visit(ast.parse(text)), str(block), "exec"), known)
