"""Families: those of the package, those of others, and which one a model is of."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import vpp_deploy
from tests.bundle.classifier_factory import make_classifier
from tests.cli.conftest import Cli, cli  # noqa: F401 - a fixture
from vpp_deploy.bundle import Bundle
from vpp_deploy.bundle.manifest import ModelSpec
from vpp_deploy.cli import export as export_command
from vpp_deploy.cli.record_options import Source, options_by_name
from vpp_deploy.errors import ConfigError, DependencyError, ExitCode, ExportError, UsageError
from vpp_deploy.families import FAMILIES, GROUP, Family, family_of
from vpp_deploy.options import option, options_of
from vpp_deploy.tasks import TASKS

every_family = pytest.mark.parametrize("name", ["vpp", "papr", "dynamicvit", "evit"])


@dataclass(frozen=True)
class OwnOptions:
    shade: int = option(3, "How dark.", metavar="N", minimum=0)
    batch: int = option(1, "Images at once.", metavar="N", minimum=1)


@dataclass(frozen=True)
class ClashingOptions:
    batch: str = option("one", "Which batch.")


@dataclass(frozen=True)
class GreedyOptions:
    size: str = option("", "Which size.")


def nothing(*_: Any, **__: Any) -> Any:
    raise AssertionError("not called in these tests")


OWN = Family(
    name="own",
    title="Own",
    prefix="mine:",
    task="classification",
    example="mine:small",
    keep="a number of your own",
    default_keep="7",
    options=OwnOptions,
    models=lambda: {"small": "a small one"},
    export=nothing,
    reference=nothing,
)
CLASHING = replace(OWN, name="clashing", title="Clashing", prefix="clashing:", options=ClashingOptions)
GREEDY = replace(OWN, name="greedy", title="Greedy", prefix="greedy:", options=GreedyOptions)
PLAIN = replace(OWN, name="plain", title="Plain", prefix="plain:", options=int)
UNTITLED = SimpleNamespace(name="untitled")
Offer = Callable[..., None]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Makes packages offer families, until the test ends."""
    monkeypatch.setattr(FAMILIES, "_records", dict(FAMILIES._records))
    monkeypatch.setattr(FAMILIES, "_entry_points", {})

    def install(**values: str) -> None:
        entries = metadata.EntryPoints([metadata.EntryPoint(name, value, GROUP) for name, value in values.items()])
        monkeypatch.setattr(metadata, "entry_points", lambda **query: entries.select(**query))
        monkeypatch.setattr(FAMILIES, "_entry_points", None)

    return install


def here(name: str) -> str:
    return f"{__name__}:{name}"


def target(function: Callable[..., Any]) -> Any:
    """What a lazy function of a record leads to."""
    module, found, name = function.__qualname__.partition(":")
    return getattr(importlib.import_module(module), name) if found else function


@every_family
def test_a_family_of_the_package_is_whole(name: str) -> None:
    family = FAMILIES[name]
    assert family.task in TASKS
    assert family.prefix in ("", f"{name}:")
    models = family.models()
    assert models
    assert all(about.strip() and not known.startswith(f"{name}:") for known, about in models.items())
    assert family_of(family.example) is family
    for function in (family.models, family.check, family.export, family.reference, family.listing):
        assert function is None or callable(target(function))


def test_the_options_of_all_families_compose() -> None:
    sources = [Source(family.name, family.title, family.title, family.options) for family in FAMILIES.values()]
    flags = [declared.flag for declared, _ in options_by_name(sources, export_command.OWN).values()]
    assert len(set(flags)) == len(flags)


def test_the_command_names_its_own_options() -> None:
    signature = export_command.make_command().__signature__  # type: ignore[attr-defined]
    theirs = {declared.name for family in FAMILIES.values() for declared in options_of(family.options)}
    assert set(signature.parameters) == {*export_command.OWN, *theirs}


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("vpp-small", "vpp"),
        ("no-such-model", "vpp"),  # which knows how to say so
        ("papr:vit_tiny_patch16_224", "papr"),
        ("papr:no_such_model", "papr"),
        ("dynamicvit:deit_small", "dynamicvit"),
        ("evit:deit_small", "evit"),
        ("vpp:small", "vpp"),
        (SimpleNamespace(family="evit"), "evit"),
        (vpp_deploy.PaprConfig("papr:deit_small_patch16_224", 0.5), "papr"),
    ],
)
def test_the_family_of_a_model(model: Any, family: str) -> None:
    assert family_of(model) is FAMILIES[family]


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            "foo:bar",
            ExportError,
            "unknown model 'foo:bar': no family has the prefix 'foo'; there are papr:, dyn",
        ),
        (":bar", ExportError, "no family has the prefix ''"),
        (
            "deit_small",
            ExportError,
            r"'deit_small'; did you mean dynamicvit:deit_small or evit:deit_small\?",
        ),
        ("deit_tiny", ExportError, r"did you mean evit:deit_tiny\?"),
        ("vit_base_patch16_224", ExportError, r"did you mean papr:vit_base_patch16_224\?"),
        (3, UsageError, "export int: it has no attribute `family`; give a name from `vpp-deploy models`, or set"),
        (None, UsageError, "export NoneType"),
        (SimpleNamespace(family=7), UsageError, "export SimpleNamespace: it has no attribute `family`"),
        (SimpleNamespace(family="foo"), UsageError, "unknown family 'foo'; use one of vpp, papr, dynamicvit, evit"),
        (SimpleNamespace(family=replace(OWN, name="papr")), UsageError, "family 'papr' comes with vpp-deploy"),
    ],
)
def test_models_of_no_family(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        family_of(model)
    assert set(FAMILIES) >= {"vpp", "papr", "dynamicvit", "evit"}


def test_a_prefix_that_two_packages_have_is_nobodys() -> None:
    FAMILIES.register("own", OWN)
    FAMILIES.register("twin", replace(OWN, name="twin"))
    FAMILIES.register("thief", replace(OWN, name="thief", prefix="papr:"))
    try:
        with pytest.raises(UsageError, match=r"several families have the prefix mine: \(own, twin\); uninstall one"):
            family_of("mine:small")
        assert family_of("papr:vit_tiny_patch16_224") is FAMILIES["papr"]
    finally:
        for name in ("own", "twin", "thief"):
            del FAMILIES._records[name]


def test_a_name_without_its_prefix_on_the_command_line(cli: Cli, tmp_path: Path) -> None:  # noqa: F811
    for model, message in [
        ("deit_small", "did you mean dynamicvit:deit_small or evit:deit_small?"),
        ("foo:bar", "no family has the prefix 'foo'; there are papr:"),
    ]:
        outcome = cli("export", model, "--random-weights", "-o", tmp_path / "x.bundle")
        outcome.assert_one_line_error(ExitCode.UNSUPPORTED_MODEL, message)
    assert list(tmp_path.iterdir()) == []


def test_a_family_of_another_package(offer: Offer, cli: Cli) -> None:  # noqa: F811
    offer(own=here("OWN"))
    assert family_of("mine:small") is family_of("own:small") is FAMILIES["own"] is OWN
    with pytest.raises(ExportError, match=r"did you mean mine:small\?"):
        family_of("small")
    listing = json.loads(cli("models", "--json").out)
    assert listing["own_models"] == {"mine:small": {"about": "a small one"}}
    shown = cli("models").out
    assert "mine:small" in shown
    assert "--keep: a number of your own (default 7)." in shown
    parameters = export_command.make_command().__signature__.parameters  # type: ignore[attr-defined]
    assert "shade" in parameters


def test_its_options_reach_it_and_nobody_else(offer: Offer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(export_command, "_export", lambda family, request, options: asked.append((request, options)))
    offer(own=here("OWN"))
    app = typer.Typer()
    app.command()(export_command.make_command())
    command = typer.main.get_command(app)

    def run(*words: str) -> None:
        command.main([*words, "-o", str(tmp_path / "x")], standalone_mode=False)

    run("mine:small", "--random-weights", "--shade", "0", "--keep", "7")
    ((request, options),) = asked
    assert (request.model, request.keep, options) == ("mine:small", "7", OwnOptions(shade=0))
    with pytest.raises(UsageError, match=r"--shade: for Own models, such as mine:small, not for evit:deit_small"):
        run("evit:deit_small", "--random-weights", "--shade", "1")


BROKEN = [
    ("no_such_module:FAMILY", "does not load"),
    (here("NO_SUCH_FAMILY"), "does not load"),
    (here("UNTITLED"), "is SimpleNamespace named 'untitled'; it must be a Family named 'broken'"),
    (here("OWN"), "is Family named 'own'; it must be a Family named 'broken'"),
]


@pytest.mark.parametrize(("value", "message"), BROKEN)
def test_a_broken_family_stops_nobody_and_is_told_when_asked_for(
    value: str,
    message: str,
    offer: Offer,
    cli: Cli,  # noqa: F811
) -> None:
    offer(broken=value, own=here("OWN"))
    outcome = cli("models")
    assert outcome.code == 0
    assert "mine:small" in outcome.out
    assert outcome.err.startswith("warning: family 'broken' of the package")
    assert message in outcome.err
    assert "shade" in export_command.make_command().__signature__.parameters  # type: ignore[attr-defined]
    assert family_of("mine:small") is OWN
    assert family_of("vpp-small") is FAMILIES["vpp"]
    with pytest.raises(DependencyError, match=message):
        family_of("broken:small")
    with pytest.raises(ExportError, match=f"no family has the prefix 'foo'.*{message}"):
        family_of("foo:small")
    with pytest.raises(DependencyError, match=message):
        family_of(SimpleNamespace(family="broken"))


@pytest.mark.parametrize(
    ("name", "record", "message"),
    [
        ("clashing", "CLASHING", "--batch is int for papr and str for clashing; one of them must rename it"),
        ("greedy", "GREEDY", "--size of greedy is an option of every model; it must rename its own"),
        ("plain", "PLAIN", "Plain models cannot be exported from the command line"),
    ],
)
def test_a_family_whose_options_clash_stops_nobody(
    name: str, record: str, message: str, offer: Offer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(**{name: here(record), "own": here("OWN")})
    asked: list[str] = []
    monkeypatch.setattr(export_command, "_export", lambda family, request, options: asked.append(request.model))
    app = typer.Typer()
    app.command()(export_command.make_command())
    command = typer.main.get_command(app)
    command.main(["mine:small", "--size", "64x96", "--batch", "2", "-o", str(tmp_path / "new")], standalone_mode=False)
    assert asked == ["mine:small"]
    with pytest.raises(UsageError, match=message):
        command.main([f"{name}:small", "-o", str(tmp_path / "new")], standalone_mode=False)


def test_the_whole_command_line_lives_with_a_broken_package(tmp_path: Path) -> None:
    """Installed as pip leaves it."""
    folder = tmp_path / "broken_family-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-family\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\nbroken = broken_family:FAMILY\n")
    (tmp_path / "broken_family.py").write_text("raise RuntimeError('no luck\\ntoday')\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vpp_deploy", *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    told = "family 'broken' of the package broken-family does not load (no luck); update or uninstall broken-family"
    page = run("export", "--help")
    assert (page.returncode, page.stderr) == (0, "")
    asked = run("export", "broken:x", "--random-weights", "-o", str(tmp_path / "x.bundle"))
    assert (asked.returncode, asked.stderr) == (ExitCode.MISSING, f"error: {told}\n")


def test_a_bundle_of_a_family_that_is_not_here(tmp_path: Path) -> None:
    spec = ModelSpec(name="gone:x", family="gone", task="classification", keep_schedule="1", dataset="", config={})
    bundle = make_classifier(tmp_path / "gone.bundle", model=spec)
    with pytest.raises(UsageError, match=r"of the family 'gone', which is not installed here; .*there are vpp, papr"):
        vpp_deploy.open_reference(bundle)
    assert vpp_deploy.build_engine(bundle).manifest.model.family == "gone"  # to run it, nobody needs the family


def test_a_configuration_that_another_packages_family_trips_over(tmp_path: Path) -> None:
    def reference(bundle: Bundle, selection: str) -> Any:
        return bundle.manifest.model.config["width"] // 2

    FAMILIES.register("own", replace(OWN, reference=reference))
    try:
        for config in ({}, {"width": "x"}, {"width": []}):
            spec = ModelSpec(
                name="o", family="own", task="classification", keep_schedule="1", dataset="", config=config
            )
            bundle = make_classifier(tmp_path / f"{len(str(config))}.bundle", model=spec)
            with pytest.raises(ConfigError, match=r"does not make a model that runs \(.*\); export it again"):
                vpp_deploy.open_reference(bundle)
    finally:
        del FAMILIES._records["own"]


def test_selections_that_a_family_does_not_have(papr_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="selection by threshold: papr:vit_tiny_patch16_224 keeps a fixed number"):
        vpp_deploy.open_reference(papr_bundle, "threshold")
