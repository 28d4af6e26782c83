"""The tests in `on_server`, on a real Triton server, in an environment of its own.

`VPP_TRITON_SERVER_ENV` names a folder where that environment is kept from run to run; it is made if there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import vpp_deploy as vd
from tests.conftest import REPOSITORY
from tools.triton_server import UnavailableError, make_environment

ON_SERVER = Path(__file__).parent / "on_server"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("VPP_TRITON_SERVER_ENV")
    try:
        return make_environment(Path(kept) if kept else tmp_path_factory.mktemp("environment"))
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in ON_SERVER.glob("test_*.py")))
def test_on_a_real_server(
    name: str, environment: Path, micro_bundle: vd.Bundle, papr_bundle: vd.Bundle, tmp_path: Path
) -> None:
    for bundle, called in ((micro_bundle, "micro"), (papr_bundle, "tiny")):
        shutil.copytree(bundle.path, tmp_path / f"{called}.bundle")
    python = [environment / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    own = [f"--confcutdir={ON_SERVER}", f"--basetemp={tmp_path / 'work'}", ON_SERVER / name]
    variables = os.environ | {"VPP_TEST_BUNDLES": str(tmp_path), "OMP_NUM_THREADS": "1"}
    variables.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run([*python, *own], cwd=REPOSITORY, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
