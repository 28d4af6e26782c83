"""What `import vpp_deploy` offers, and how names of earlier versions end."""

from __future__ import annotations

import importlib
import inspect
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import vpp_deploy
from vpp_deploy.errors import UsageError

DEPRECATED = {
    "PaprTorchEngine": "open_reference(bundle)",
    "TensorRtOptions": "TensorRtBuildOptions",
    "TorchEngine": "open_reference(bundle)",
    "VideoFrame": "Frame",
    "check_classification": "check_parity",
    "export_papr": "export",
}
REMOVED_IN = "0.3.0"
DATA = Path(__file__).parent / "bundle" / "data"


def old(name: str) -> object:
    with pytest.warns(DeprecationWarning, match=f"vpp_deploy.{name} is deprecated"):
        return getattr(vpp_deploy, name)


@pytest.mark.parametrize("name", vpp_deploy.__all__)
def test_every_public_name_is_there_and_is_no_deprecated_one(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = getattr(vpp_deploy, name)
    assert name not in DEPRECATED
    assert found is not None
    if inspect.isclass(found) or inspect.isfunction(found):
        assert inspect.getdoc(found), name


def test_the_names_are_sorted_and_listed() -> None:
    assert dir(vpp_deploy) == sorted(vpp_deploy.__all__)
    assert len(set(vpp_deploy.__all__)) == len(vpp_deploy.__all__)
    assert set(vpp_deploy._HOMES) == set(vpp_deploy.__all__) - {"__version__"}


def test_type_checkers_see_the_same_names() -> None:
    """The imports under `TYPE_CHECKING` name the same homes."""
    source = Path(vpp_deploy.__file__).read_text()
    block = source.partition("if TYPE_CHECKING:")[2].partition("\n_HOMES")[0]
    imported = {}
    for line in filter(None, map(str.strip, block.splitlines())):
        module, _, names = line.removeprefix("from ").partition(" import ")
        imported |= dict.fromkeys(names.split(", "), module)
    assert imported == vpp_deploy._HOMES


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'vpp_deploy' has no attribute 'exprot'"):
        vpp_deploy.exprot  # noqa: B018


@pytest.mark.parametrize(("name", "instead"), DEPRECATED.items())
def test_a_deprecated_name_warns_where_it_is_used(name: str, instead: str) -> None:
    with pytest.warns(DeprecationWarning, match=name) as caught:
        getattr(vpp_deploy, name)
    (warning,) = caught
    assert str(warning.message) == (
        f"vpp_deploy.{name} is deprecated and will be removed in {REMOVED_IN}; use vpp_deploy.{instead} instead"
    )
    assert warning.filename == __file__
    assert instead.partition("(")[0] in vpp_deploy.__all__


def test_all_deprecated_names_are_known_here() -> None:
    assert set(vpp_deploy._DEPRECATED) == set(DEPRECATED)
    assert {entry.removed_in for entry in vpp_deploy._DEPRECATED.values()} == {REMOVED_IN}
    assert {name: entry.instead for name, entry in vpp_deploy._DEPRECATED.items()} == DEPRECATED


def test_deprecated_names_go_when_their_version_comes() -> None:
    """If this fails, delete the names: what was announced is kept."""
    now = tuple(int(part) for part in vpp_deploy.__version__.split(".")[:3])
    for name, entry in vpp_deploy._DEPRECATED.items():
        end = tuple(int(part) for part in entry.removed_in.split("."))
        assert now < end, f"vpp_deploy.{name} was to be removed in {entry.removed_in}"


def test_deprecated_names_are_what_they_were() -> None:
    assert old("VideoFrame") is vpp_deploy.Frame
    assert old("TensorRtOptions") is vpp_deploy.TensorRtBuildOptions
    for name, home in {
        "PaprTorchEngine": "vpp_deploy.families.papr.reference",
        "TorchEngine": "vpp_deploy.families.vpp.reference",
        "check_classification": "vpp_deploy.tasks.classification.parity.check",
        "export_papr": "vpp_deploy.families.papr.export",
    }.items():
        assert old(name) is getattr(importlib.import_module(home), name)


def test_the_earlier_export_still_works_and_has_its_errors(tmp_path: Path) -> None:
    config = vpp_deploy.PaprConfig("papr:vit_tiny_patch16_224", 0.5)
    for wrong, message in [
        ({}, "needs weights"),
        ({"random_weights": vpp_deploy.RandomWeights(), "dataset": "x"}, "family papr has no option dataset; it has"),
        ({"random_weights": vpp_deploy.RandomWeights(), "precision": "int3"}, "unknown precision 'int3'"),
    ]:
        with pytest.raises(UsageError, match=message):
            old("export_papr")(config, out=tmp_path / "x.bundle", **wrong)  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_the_earlier_reference_and_check_still_work(papr_bundle: vpp_deploy.Bundle) -> None:
    import numpy as np

    reference = old("PaprTorchEngine")(papr_bundle)  # type: ignore[operator]
    assert type(reference) is type(vpp_deploy.open_reference(papr_bundle))
    image = np.zeros((64, 96, 3), np.uint8)
    frames = [old("VideoFrame")(image, (64, 96), image, 0)]  # type: ignore[operator]
    engine = vpp_deploy.load_engine(papr_bundle)
    report = old("check_classification")(papr_bundle, engine, frames, reference=reference)  # type: ignore[operator]
    assert report.passed


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, vpp_deploy; vpp_deploy.Frame, vpp_deploy.FAMILIES['papr'], vpp_deploy.TASKS['tensors']; "
        "sys.exit(' '.join({'torch', 'timm', 'transformers', 'onnxruntime'} & set(sys.modules)) or 0)"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("given", ["a.bundle", Path("a.bundle"), None, 3])
def test_what_is_no_open_bundle_is_refused(given: Any) -> None:
    """A path where a bundle belongs is the mistake that everyone makes once."""
    for use in (
        vpp_deploy.load_engine,
        vpp_deploy.build_engine,
        vpp_deploy.open_reference,
        lambda bundle: vpp_deploy.check_parity(bundle, bundle, "a.mp4"),
        lambda bundle: vpp_deploy.evaluate(bundle, "data"),
    ):
        with pytest.raises(UsageError, match=r"is no open bundle: give Bundle\.open\(") as caught:
            use(given)
        assert isinstance(given, int | None) or "'a.bundle'" in str(caught.value)
    with pytest.raises(UsageError, match="takes an engine"):
        vpp_deploy.open_session(given)
    with pytest.raises(UsageError, match=r"backend is .*; give text"):
        vpp_deploy.load_engine(vpp_deploy.Bundle.open(DATA / "v3-vpp"), ["onnxruntime"])  # type: ignore[arg-type]


@pytest.mark.parametrize("size", ["224", 224, (64,), (64, 64, 64), ("a", "b"), (64.5, 64)])
def test_sizes_that_are_none(size: Any, tmp_path: Path) -> None:
    for model in ("vpp-demo", "evit:deit_tiny"):
        with pytest.raises(UsageError, match=r"size is .*; give height and width"):
            vpp_deploy.export(model, out=tmp_path / "x.bundle", size=size)


def test_names_in_messages_go_through_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "it's a bundle"
    shutil.copytree(DATA / "v3-vpp", folder, ignore=shutil.ignore_patterns("engines"))
    with pytest.raises(vpp_deploy.VppDeployError, match="build it with: ") as caught:
        vpp_deploy.load_engine(vpp_deploy.Bundle.open(folder))
    command = str(caught.value).partition("build it with: ")[2]
    assert shlex.split(command) == ["vpp-deploy", "build-engine", str(folder), "--engine", "onnxruntime"]
