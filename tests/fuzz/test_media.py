"""Pictures and films that are damaged."""

from __future__ import annotations

import io
import random
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, features

from tests.bundle.classifier_factory import CLIP, make_classifier
from tests.fuzz import mutation
from tests.fuzz.conftest import Fuzz
from tests.fuzz.runner import Outcome, Runner
from vpp_deploy.engines import build_engine

HEIGHT, WIDTH = 48, 64
PICTURES = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", *(["AVIF"] if features.check("avif") else []))
FILMS = {
    "mp4": "libx264",
    "mkv": "libx264",
    "ts": "libx264",
    "mov": "mpeg4",
    "avi": "mjpeg",
    "webm": "libvpx",
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of pictures and one of clips, with engines."""
    folder = tmp_path_factory.mktemp("bundles")
    made = make_classifier(folder / "image.bundle"), make_classifier(folder / "clip.bundle", clip=CLIP)
    for bundle in made:
        build_engine(bundle, "onnxruntime")
    return made[0].path, made[1].path


def picture(kind: str) -> bytes:
    """A small picture with EXIF data, of two frames where the format has frames."""
    generator = np.random.default_rng(0)
    smooth = np.kron(generator.integers(0, 256, (6, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    image, second = Image.fromarray(smooth), Image.fromarray(smooth[::-1].copy())
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Some camera"
    data = io.BytesIO()
    extra = {"JPEG": {"exif": exif}, "PNG": {"exif": exif}, "WEBP": {"exif": exif}, "AVIF": {"exif": exif}}
    frames = {"save_all": True, "append_images": [second]} if kind in ("GIF", "TIFF") else {}
    image.save(data, kind, **extra.get(kind, {}), **frames)
    return data.getvalue()


def film(path: Path, codec: str) -> bytes:
    """Twelve small frames."""
    generator = np.random.default_rng(1)
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=25)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(12):
            pixels = generator.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        target.mux(stream.encode(None))
    return path.read_bytes()


def test_pictures(runner: Runner, fuzz: Fuzz, bundles: tuple[Path, Path], tmp_path: Path) -> None:
    originals = [(f".{kind.lower()}", picture(kind)) for kind in PICTURES]
    folder = tmp_path / "case"

    def case(generator: random.Random, number: int) -> Outcome:
        folder.mkdir(exist_ok=True)
        suffix, content = originals[number % len(originals)]
        if generator.random() < 0.1:  # a name that lies
            suffix = generator.choice(originals)[0]
        source = folder / f"picture{suffix}"
        source.write_bytes(mutation.damaged(content, generator, head=generator.choice((100, 1000, 1 << 20))))
        words = ["--json", "results.jsonl", "-o", "seen"]
        outcome = runner.run(["infer", bundles[0], source, *words], folder)
        source.unlink()
        return outcome

    fuzz("pictures", case)


def test_films(runner: Runner, fuzz: Fuzz, bundles: tuple[Path, Path], tmp_path: Path) -> None:
    originals = [(f".{kind}", film(tmp_path / f"film.{kind}", codec)) for kind, codec in FILMS.items()]
    folder = tmp_path / "case"

    def case(generator: random.Random, number: int) -> Outcome:
        folder.mkdir(exist_ok=True)
        suffix, content = originals[number % len(originals)]
        source = folder / f"film{suffix}"
        source.write_bytes(mutation.damaged(content, generator, head=generator.choice((200, 2000, 1 << 20))))
        outcome = runner.run(
            ["infer", bundles[number // len(originals) % 2], source, "--json", "results.jsonl"], folder
        )
        source.unlink()
        return outcome

    fuzz("films", case)
