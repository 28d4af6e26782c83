"""Engines of a tiny classifier of images, and of one of clips."""

from __future__ import annotations

import pytest

from tests.bundle.classifier_factory import CLIP, make_engine
from vpp_deploy.engines.protocols import Engine


@pytest.fixture(scope="package")
def images(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return make_engine(tmp_path_factory.mktemp("images") / "b.bundle", batch=2)


@pytest.fixture(scope="package")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return make_engine(tmp_path_factory.mktemp("clips") / "b.bundle", clip=CLIP, batch=2)
