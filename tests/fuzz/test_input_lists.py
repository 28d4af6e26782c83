"""Lists of inputs, patterns and addresses that make no sense."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from PIL import Image

from tests.bundle.classifier_factory import make_classifier
from tests.fuzz.conftest import Fuzz
from tests.fuzz.runner import Outcome, Runner
from vpp_deploy.engines import build_engine

PIECES = (
    *(b"a.png", b"*", b"?", b"[", b"]", b"[a-", b"**", b"/", b"..", b"\n", b"\r", b"#", b" ", b"\0", b"\x1b[2J", b"-"),
    *(b"0", b"camera:7", b"http://127.0.0.1:1/", b"rtsp://", b"me:secret@", b"://", b":", b"@", b"?token=secret"),
    *(b"ftp://", b"file:", b"[::", b"\xff", "\u202e".encode(), "é".encode(), b"list.txt", b"x" * 300),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_classifier(tmp_path_factory.mktemp("bundle") / "image.bundle")
    build_engine(made, "onnxruntime")
    return made.path


def test_lists_and_words(runner: Runner, fuzz: Fuzz, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "case"

    def case(generator: random.Random, number: int) -> Outcome:
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30)).save(folder / "a.png")
        content = b"".join(generator.choices(PIECES, k=generator.randint(1, 4)))
        if number % 2:
            (folder / "list.txt").write_bytes(content)
            word = "list.txt"
        else:
            word = "./" * generator.randint(0, 1) + os.fsdecode(content.replace(b"\0", b"").lstrip(b"-")) or "a.png"
        outcome = runner.run(["infer", bundle, word, "--json", "results", "--timeout", "1"], folder)
        for name in ("a.png", "list.txt"):
            (folder / name).unlink(missing_ok=True)
        return outcome

    fuzz("lists", case)
