"""Which plugins an engine is built with, and what is wrong with a library, found without loading it."""

from __future__ import annotations

import json
import os
import re
import shutil
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import vpp_deploy
from tests.engines.recording_device import RecordingDevice
from tests.engines.records import store
from vpp_deploy._version import __version__
from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.hashing import sha256_of_file
from vpp_deploy.bundle.reader import ENGINE_RECORD_FILE
from vpp_deploy.engines import TensorRtBuildOptions
from vpp_deploy.engines.backend import Surroundings
from vpp_deploy.engines.cuda_library import CudaVersion
from vpp_deploy.engines.engine_files import EngineFiles
from vpp_deploy.engines.engine_record import EngineRecord, source_hashes
from vpp_deploy.engines.tensorrt import RECORDS, plugin_library
from vpp_deploy.engines.tensorrt.plugin_library import PATH_VARIABLE, PLUGINS, PluginLibrary, load_into
from vpp_deploy.engines.tensorrt.plugins import NO_PLUGINS, Plugins, choose
from vpp_deploy.errors import ExitCode, IncompatibleEngineError, PluginError, UsageError
from vpp_deploy.machine import Gpu

BUILD = "vpp-deploy build-engine b --engine tensorrt"


def library(folder: Path, version: str = __version__, content: bytes = b"") -> Path:
    """What a look into the file takes for a library; the dynamic linker would not."""
    folder.mkdir(exist_ok=True)
    path = folder / "libvpp_plugins.so"
    path.write_bytes(b"\x7fELF" + content + b"vpp_plugins_version=" + version.encode() + b"\0")
    return path


@pytest.fixture(autouse=True)
def _no_search_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PATH_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("backend", "version", "searched", "form"),
    [
        ("tensorrt", "11.4.0.106", False, "embedded"),
        ("tensorrt", "11.2.1.2", True, "embedded"),
        ("tensorrt", "10.14.1.48.post1", False, None),
        ("tensorrt", "10.9.0.34", True, "library"),
        ("tensorrt", "10.8.0.43", False, None),
        ("tensorrt", "10.8.0.43", True, "library"),
        ("tensorrt-rtx", "1.7.1.116", False, None),
        ("tensorrt-rtx", "1.7.1.116", True, "library"),
    ],
)
def test_the_default_is_the_best_that_is_there(
    backend: str, version: str, searched: bool, form: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = library(tmp_path / "plugins")
    if searched:
        monkeypatch.setenv(PATH_VARIABLE, os.pathsep.join([str(tmp_path / "elsewhere"), str(path.parent)]))
    chosen = choose(backend, version)
    assert chosen.form == form
    assert (chosen.library is not None) == (form == "library")
    assert choose(backend, version, "none") == NO_PLUGINS
    assert choose(backend, version, library=path) == Plugins("library", PluginLibrary.read(path))


@pytest.mark.parametrize(
    ("version", "numpy", "reason"),
    [
        ("11.4.0.106", "2.4.6", None),
        (
            "11.1.0.106",
            "2.4.0",
            "cannot embed plugins with NumPy 2.4.0: install TensorRT 11.2 or later, or 'numpy<2.4'",
        ),
        ("11.1.0.106", "2.3.5", None),
        ("10.14.1.48.post1", "2.3.5", "cannot embed more than one plugin: install 11.2 or later"),
        ("10.8.0.43", "2.3.5", "has no embedded plugins, tensorrt has them from 10.9 on"),
    ],
)
def test_what_stands_in_the_way_of_embedded_plugins_is_said(
    version: str, numpy: str, reason: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    versions = {"tensorrt-cu12": version, "numpy": numpy}
    monkeypatch.setattr("vpp_deploy.engines.tensorrt.plugins.installed_version", versions.get)
    form = choose("tensorrt", version).form
    problems = RECORDS["tensorrt"].problems(Surroundings(versions.get, ()))
    ability = RECORDS["tensorrt"].examine(Surroundings(versions.get, ()))
    if reason is None:
        assert (form, problems, ability.plugins) == ("embedded", (), ("embedded",))
        assert not caplog.messages
        return
    assert (form, ability.plugins) == (None, ())
    with pytest.raises(UsageError, match=re.escape(reason)):
        choose("tensorrt", version, "embedded")
    if "cannot" in reason:  # not only by what it never promised
        assert caplog.messages == [f"tensorrt {version} {reason}; building with --plugins none"]
        assert problems == (f"tensorrt {version} {reason}; until then use --plugins library or none",)
    else:
        assert (caplog.messages, problems) == ([], ())


def test_engines_with_other_plugins_have_other_fingerprints(tmp_path: Path) -> None:
    plugins = [
        NO_PLUGINS,
        Plugins("embedded"),
        *(Plugins("library", PluginLibrary.read(library(tmp_path / name, content=name.encode()))) for name in "ab"),
    ]
    assert len({choice.fingerprint for choice in plugins}) == 4


@pytest.mark.parametrize(
    ("backend", "wanted", "given", "message"),
    [
        ("tensorrt", "cuda", False, "plugins 'cuda': use embedded, library or none"),
        ("tensorrt", "none", True, "contradict each other"),
        ("tensorrt", "embedded", True, "contradict each other"),
        ("tensorrt-rtx", "embedded", False, "tensorrt-rtx 10.9 has no embedded plugins, tensorrt has them from 10.9"),
    ],
)
def test_impossible_choices(backend: str, wanted: str, given: bool, message: str, tmp_path: Path) -> None:
    path = library(tmp_path / "plugins") if given else None
    with pytest.raises(UsageError, match=message):
        choose(backend, "10.9", wanted, path)


def test_plugins_are_for_tensorrt(micro_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="plugins: for tensorrt and tensorrt-rtx, not for onnxruntime"):
        vpp_deploy.build_engine(micro_bundle, "onnxruntime", TensorRtBuildOptions(plugins="none"))


@pytest.mark.parametrize("place", ["missing.so", "empty folder"])
def test_a_library_that_is_not_there(place: str, tmp_path: Path) -> None:
    (tmp_path / "empty folder").mkdir()
    with pytest.raises(PluginError) as caught:
        choose("tensorrt-rtx", "1.7", "library", tmp_path / place)
    assert "no plugin library: looked at" in str(caught.value)
    assert str(tmp_path / place) in str(caught.value)
    assert "cmake -S plugins -B build/plugins -DTENSORRT_INCLUDE_DIR=FOLDER" in str(caught.value)
    with pytest.raises(PluginError, match=rf"\${PATH_VARIABLE} is not set"):
        choose("tensorrt-rtx", "1.7", "library")


def test_a_library_of_a_newer_cuda_than_the_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before it is loaded, which these files could not be."""
    newer = PluginLibrary.read(library(tmp_path / "a", content=b"vpp_plugins_cuda=13010\0"))
    assert newer.cuda == (13, 1)
    monkeypatch.setattr(plugin_library, "driver_cuda", lambda: CudaVersion(12, 8))
    with pytest.raises(PluginError, match=r"with CUDA 13\.1, but the driver here knows CUDA 12\.8 at most"):
        load_into(None, "tensorrt", newer)
    older, unknown = library(tmp_path / "b", content=b"vpp_plugins_cuda=12090\0"), library(tmp_path / "c")
    for path in (older, unknown):  # and without a driver, where engines are only built
        with pytest.raises(PluginError, match="does not load"):
            load_into(None, "tensorrt", PluginLibrary.read(path))
    monkeypatch.setattr(plugin_library, "driver_cuda", lambda: None)
    with pytest.raises(PluginError, match="does not load"):
        load_into(None, "tensorrt", newer)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x7fELF without a version", b"vpp_plugins_version=1\0"])
def test_a_file_that_is_no_library(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(content)
    with pytest.raises(PluginError, match="is not a plugin library of vpp-deploy"):
        choose("tensorrt-rtx", "1.7", "library", tmp_path / "x.so")


def test_a_fifo_is_no_library(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.so")
    with pytest.raises(PluginError, match=r"cannot read the plugin library .*it is not a regular file"):
        choose("tensorrt-rtx", "1.7", "library", tmp_path / "x.so")


def test_a_library_of_another_version(tmp_path: Path) -> None:
    path = library(tmp_path / "plugins", "0.0.9")
    with pytest.raises(PluginError, match=f"is of version 0.0.9, this vpp-deploy is {__version__}; make it again with"):
        choose("tensorrt-rtx", "1.7", library=path)


def details(path: Path) -> dict[str, object]:
    return PLUGINS.to_details(PluginLibrary.read(path))


def test_an_engine_finds_the_library_that_it_was_built_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (library(tmp_path / name, content=name.encode()) for name in "ab")
    monkeypatch.setenv(PATH_VARIABLE, os.pathsep.join(map(str, (first, second.parent))))
    found = PLUGINS.of_engine(details(second), None, BUILD)
    assert found is not None
    assert found.path == second
    assert PLUGINS.of_engine({"init": {}}, None, BUILD) is None


def test_a_wrong_library_names_both_and_the_way_out(tmp_path: Path) -> None:
    first, second = (library(tmp_path / name, content=name.encode()) for name in "ab")
    with pytest.raises(PluginError) as caught:
        PLUGINS.of_engine(details(first), second, BUILD)
    message = str(caught.value)
    assert f"sha256 {sha256_of_file(first)[:12]}" in message
    assert f"{second} (version {__version__}, sha256 {sha256_of_file(second)[:12]}" in message
    assert message.endswith(f"{BUILD} --plugin-library {second}")
    old = library(tmp_path / "old", "0.0.9")
    with pytest.raises(PluginError, match=f"{BUILD} --plugins none$"):
        PLUGINS.of_engine(details(first), old, BUILD)


def test_a_library_that_is_gone(tmp_path: Path) -> None:
    needed = details(library(tmp_path / "a"))
    with pytest.raises(PluginError) as caught:
        PLUGINS.of_engine(needed, tmp_path / "gone.so", BUILD)
    assert f"looked at {tmp_path / 'gone.so'}; say where it is with: export {PATH_VARIABLE}=FOLDER" in str(caught.value)
    assert str(caught.value).endswith(f"{BUILD} --plugins none")


def test_a_damaged_record(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleEngineError, match="record of its plugin library is damaged"):
        PLUGINS.of_engine({"plugins": {"file": "x"}}, None, BUILD)


@pytest.fixture
def with_plugins(micro_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A bundle with the record of a TensorRT-RTX engine that needs a plugin library."""
    pytest.importorskip("tensorrt_rtx")
    bundle = Bundle.open(shutil.copytree(micro_bundle.path, tmp_path / "copy.bundle"))
    record = EngineRecord(
        backend="tensorrt-rtx",
        backend_version=metadata.version("tensorrt-rtx"),
        precision="float32",
        source=source_hashes(bundle),
        files={},
        details=details(library(tmp_path / "plugins")),
    )
    store(bundle.engine_folder("tensorrt-rtx"), record)
    return bundle


def test_an_engine_is_refused_before_anything_is_loaded(with_plugins: Bundle, tmp_path: Path) -> None:
    """The files are no real libraries: loading one would be another error."""
    with pytest.raises(PluginError) as caught:
        vpp_deploy.load_engine(with_plugins, "tensorrt-rtx")
    assert caught.value.exit_code == ExitCode.PLUGIN
    assert f"build-engine {with_plugins.path} --engine tensorrt-rtx --plugins none" in str(caught.value)
    vpp_deploy.load_engine(with_plugins, "tensorrt-rtx", plugin_library=tmp_path / "plugins")


def test_a_truncated_engine_is_refused_first(with_plugins: Bundle) -> None:
    folder = with_plugins.engine_folder("tensorrt-rtx")
    record = json.loads((folder / ENGINE_RECORD_FILE).read_text())
    (folder / "init.engine").write_bytes(b"vtrt")
    record["files"] = {"init.engine": {"bytes": 5, "sha256": "0" * 64}}
    (folder / ENGINE_RECORD_FILE).write_text(json.dumps(record))
    with pytest.raises(IncompatibleEngineError, match=r"init\.engine") as caught:
        vpp_deploy.load_engine(with_plugins, "tensorrt-rtx")
    assert caught.value.exit_code == ExitCode.INCOMPATIBLE
    assert "build-engine" in str(caught.value)


def test_tensorrt_loads_engines_onto_the_gpu_of_the_buffers(
    with_plugins: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever GPU the thread has chosen before, as PyTorch lets it."""
    device, found = RecordingDevice(), []

    def runtime(*arguments: object, **named: object) -> SimpleNamespace:
        device.demand_current()
        found.append(arguments)
        return SimpleNamespace(create_context=lambda role, scratch: None, scratch_bytes=64)

    place = "vpp_deploy.engines.tensorrt.engine"
    gpu = Gpu("NVIDIA L4", "580.10", "23034 MiB", "8.9")
    for name, value in {
        "nvidia_gpus": lambda: (gpu,),
        "CudaDevice": lambda: device,
        "TensorRtRuntime": runtime,
        "DeviceStream": lambda *arguments: arguments,
    }.items():
        monkeypatch.setattr(f"{place}.{name}", value)
    monkeypatch.setattr(EngineFiles, "path", lambda files, name: files.folder / name)  # there are none
    engine = vpp_deploy.load_engine(with_plugins, "tensorrt-rtx", plugin_library=tmp_path / "plugins")
    for _ in range(2):
        assert engine.open_stream()[1] is device
    assert len(found) == 1


def test_an_engine_for_another_gpu_is_refused_before_anything_is_loaded(
    with_plugins: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be built here for a GPU that is elsewhere, so it is only refused when it is to run."""
    path = with_plugins.engine_folder("tensorrt-rtx") / ENGINE_RECORD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"compute_capabilities": ["12.0"]}))
    gpu = Gpu("NVIDIA L4", "580.10", "23034 MiB", "8.9")
    monkeypatch.setattr("vpp_deploy.engines.tensorrt.engine.nvidia_gpus", lambda: (gpu,))
    monkeypatch.setattr("vpp_deploy.engines.tensorrt.engine.CudaDevice", None)
    engine = vpp_deploy.load_engine(with_plugins, "tensorrt-rtx", plugin_library=tmp_path / "plugins")
    with pytest.raises(IncompatibleEngineError, match=r"for GPUs of compute capability 12\.0, .* NVIDIA L4 \(8\.9\)"):
        engine.open_stream()
