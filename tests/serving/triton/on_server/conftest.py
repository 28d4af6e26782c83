"""A real server, its models, and what plain sessions make of the same frames.

These tests run in an environment of the server's own, which has neither PyTorch nor the fixtures that need it:
`test_real_server.py` runs them there, and hands the bundles over.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vpp_deploy as vd
from tools.triton_server import Server, is_environment, make_environment
from vpp_deploy.serving.triton.repository import write_repository
from vpp_deploy.serving.triton.settings import Settings

Frames = npt.NDArray[np.uint8]
LENGTH = 6
IDLE_SECONDS = 2


@pytest.fixture(scope="session")
def micro_bundle() -> vd.Bundle:
    return _handed_over("micro")


@pytest.fixture(scope="session")
def papr_bundle() -> vd.Bundle:
    return _handed_over("tiny")


def _handed_over(name: str) -> vd.Bundle:
    bundle = vd.Bundle.open(Path(os.environ["VPP_TEST_BUNDLES"], f"{name}.bundle"))
    vd.build_engine(bundle)  # does nothing where it is up to date
    return bundle


@pytest.fixture(scope="session")
def videos() -> list[Frames]:
    """Four small videos of noise that moves a little: every one has tracks of its own."""
    generator = np.random.default_rng(7)
    first = generator.integers(0, 256, (4, 100, 140, 3), np.uint8)
    return [np.stack([np.roll(picture, 3 * number, axis=1) for number in range(LENGTH)]) for picture in first]


@pytest.fixture(scope="session")
def model(micro_bundle: vd.Bundle) -> vd.SegmentationModel:
    loaded: vd.SegmentationModel = vd.load(micro_bundle, threads=1)
    return loaded


@pytest.fixture(scope="session")
def expected(model: vd.SegmentationModel, videos: list[Frames]) -> list[list[vd.FrameResult]]:
    """What plain sessions give."""
    return [list(model.track(list(frames))) for frames in videos]


@pytest.fixture(scope="session")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snapshots")


@pytest.fixture(scope="session")
def settings(snapshots: Path) -> Settings:
    return Settings(workers=2, max_streams=8, idle_seconds=IDLE_SECONDS, snapshots=str(snapshots))


@pytest.fixture(scope="session")
def repository(
    micro_bundle: vd.Bundle, papr_bundle: vd.Bundle, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Models `vpp` and `papr`."""
    path = tmp_path_factory.mktemp("triton") / "models"
    write_repository(micro_bundle, path, settings=settings)
    write_repository(papr_bundle, path, name="papr")
    return path


Start = Callable[..., Server]


@pytest.fixture(scope="module")
def start(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a server on the repository, or on another one; the module's end ends it."""
    with ExitStack() as stack:

        def begin(models: Path = repository, *options: str, **more: Any) -> Server:
            if not is_environment(Path(sys.prefix)):
                pytest.skip("test_real_server.py runs this where a Triton server is installed")
            log = tmp_path_factory.mktemp("server") / "log"
            return stack.enter_context(Server(models, make_environment(Path(sys.prefix)), log, options, **more))

        yield begin


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    return start()
