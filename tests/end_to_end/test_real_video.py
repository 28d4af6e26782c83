"""The published model sizes on real video: export, build, parity. Slow: minutes each."""

from __future__ import annotations

from pathlib import Path

import pytest

import vpp_deploy
from tests.conftest import SHARED
from vpp_deploy.engines import TensorRtBuildOptions
from vpp_deploy.parity.report_common import store

pytestmark = pytest.mark.slow
SIZE = (384, 640)
CLIPS = {"arm_wrestling.mp4": 30, "street.mp4": None}


@pytest.fixture(scope="module", params=[("vpp-tiny", "0.55"), ("vpp-small", "0.4")], ids=lambda p: "-".join(p))
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> vpp_deploy.Bundle:
    model, keep = request.param
    out = tmp_path_factory.mktemp("real") / f"{model}.bundle"
    return vpp_deploy.export(model, out=out, random_weights=vpp_deploy.RandomWeights(), keep=keep, size=SIZE)


@pytest.mark.parametrize("clip", CLIPS)
def test_parity(bundle: vpp_deploy.Bundle, clip: str) -> None:
    """Teacher-forced: 1e-3 on logits and state, kept sets identical but for ties; free-running: identical tracks."""
    video: Path = SHARED / "video" / clip
    if not video.is_file():
        pytest.skip(f"no video {video}")
    report = vpp_deploy.check_parity(bundle, vpp_deploy.build_engine(bundle), video, frames=CLIPS[clip])
    report.raise_for_failure()
    assert store(bundle, report).is_file()


def test_tensorrt_rtx_builds(bundle: vpp_deploy.Bundle) -> None:
    pytest.importorskip("tensorrt_rtx")
    engine = vpp_deploy.build_engine(bundle, "tensorrt-rtx", TensorRtBuildOptions(compute_capabilities=("8.9",)))
    assert all(engine.record.details[phase]["layers"] > 1000 for phase in ("init", "step"))
