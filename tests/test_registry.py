"""Names to records: built in, offered by other packages, and added by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from vpp_deploy.engines import BACKENDS
from vpp_deploy.errors import DependencyError, UsageError
from vpp_deploy.exporters.precision import PRECISIONS
from vpp_deploy.families import FAMILIES
from vpp_deploy.registry import Registry, lazy
from vpp_deploy.tasks import TASKS

GROUP = "vpp_deploy.shapes"


@dataclass(frozen=True)
class Shape:
    name: str
    corners: int = 0


SQUARE = Shape("square", 4)
CIRCLE = Shape("circle")
MISNAMED = Shape("cirlce")
NOT_A_SHAPE = {"name": "dict"}
BUILT_IN = {"square": f"{__name__}:SQUARE"}
Offer = Callable[..., None]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Makes packages offer records, as their installed metadata would."""

    def install(**values: str) -> None:
        entries = [metadata.EntryPoint(name, value, GROUP) for name, value in values.items()]
        everything = metadata.EntryPoints(
            [*entries, metadata.EntryPoint("other", "nowhere:NOTHING", "console_scripts")]
        )
        monkeypatch.setattr(metadata, "entry_points", lambda **query: everything.select(**query))

    return install


@pytest.fixture
def shapes() -> Registry[Shape]:
    return Registry("shape", BUILT_IN, Shape, GROUP)


def test_built_in_records(shapes: Registry[Shape]) -> None:
    assert shapes["square"] is SQUARE
    assert (list(shapes), len(shapes), "square" in shapes, "circle" in shapes) == (["square"], 1, True, False)
    assert dict(shapes) == {"square": SQUARE}
    assert shapes.get("circle") is None
    with pytest.raises(KeyError):
        shapes["circle"]


def test_a_record_of_another_package(shapes: Registry[Shape], offer: Offer) -> None:
    offer(circle=f"{__name__}:CIRCLE")
    assert shapes["circle"] is CIRCLE
    assert list(shapes) == ["square", "circle"]
    assert shapes.load_all() == ({"square": SQUARE, "circle": CIRCLE}, {})


def test_without_a_group_nobody_offers_anything(offer: Offer) -> None:
    offer(circle=f"{__name__}:CIRCLE")
    assert list(Registry("shape", BUILT_IN, Shape)) == ["square"]


def test_records_are_imported_when_they_are_asked_for(
    shapes: Registry[Shape], offer: Offer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "costly_shapes.py").write_text(
        "import tests.test_registry as own\nown.LOADED.append(1)\nSTAR = own.Shape('star', 5)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    offer(star="costly_shapes:STAR")
    LOADED.clear()
    assert (list(shapes), "star" in shapes, LOADED) == (["square", "star"], True, [])
    assert (shapes["star"].corners, shapes.find("star").corners, LOADED) == (5, 5, [1])


LOADED: list[int] = []


def test_a_name_of_the_package_is_its_own(shapes: Registry[Shape], offer: Offer) -> None:
    offer(square=f"{__name__}:CIRCLE")
    assert shapes["square"] is SQUARE
    assert list(shapes) == ["square"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_package.shapes:STAR", "does not load .*No module named 'no_such_package'"),
        (f"{__name__}:NO_SUCH_SHAPE", r"does not load .*NO_SUCH_SHAPE"),
        (
            "broken_shapes:STAR",
            r"shape 'star' of the package broken_shapes:STAR does not load \(division by zero\); up",
        ),
        ("silent_shapes:STAR", r"does not load \(AssertionError\)"),
        (f"{__name__}:NOT_A_SHAPE", "is dict named None; it must be a Shape named 'star'"),
        (f"{__name__}:Shape", "is type named .*; it must be a Shape named 'star'"),
        (f"{__name__}:MISNAMED", "is Shape named 'cirlce'; it must be a Shape named 'star'"),
    ],
)
def test_a_broken_package_is_told_when_it_is_asked_for_and_stops_nobody(
    value: str, message: str, shapes: Registry[Shape], offer: Offer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_shapes.py").write_text("1 / 0\n")
    (tmp_path / "silent_shapes.py").write_text("assert False\n")
    monkeypatch.syspath_prepend(tmp_path)
    offer(star=value, circle=f"{__name__}:CIRCLE")
    for ask in (shapes.__getitem__, shapes.find):
        with pytest.raises(DependencyError, match=message) as caught:
            ask("star")
        assert "\n" not in str(caught.value)
    assert (shapes["square"], shapes["circle"]) == (SQUARE, CIRCLE)
    records, problems = shapes.load_all()
    assert records == {"square": SQUARE, "circle": CIRCLE}
    assert problems == {"star": str(caught.value)}


def test_a_package_is_called_by_its_distribution(
    shapes: Registry[Shape], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is on disk after an installation."""
    folder = tmp_path / "star_shapes-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: star-shapes\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\nstar = no_such_module:STAR\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match="shape 'star' of the package star-shapes does not load"):
        shapes["star"]


def test_a_name_that_two_packages_offer_is_nobodys(
    shapes: Registry[Shape], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever was found last would win, and change with the order of installation."""
    for package in ("star-shapes", "other-shapes"):
        folder = tmp_path / package / f"{package.replace('-', '_')}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{GROUP}]\ncircle = {__name__}:CIRCLE\n")
        monkeypatch.syspath_prepend(tmp_path / package)
    message = r"shape 'circle' is offered by several packages \(other-shapes, star-shapes\); uninstall all but one"
    with pytest.raises(DependencyError, match=message) as caught:
        shapes["circle"]
    assert shapes.load_all() == ({"square": SQUARE}, {"circle": str(caught.value)})


def test_an_unknown_name_is_told_what_there_is(shapes: Registry[Shape], offer: Offer) -> None:
    offer(circle=f"{__name__}:CIRCLE")
    with pytest.raises(UsageError, match="unknown shape 'cube'; use one of square, circle"):
        shapes.find("cube")
    with pytest.raises(UsageError, match="unknown form 'cube'"):
        shapes.find("cube", "form")


def test_a_record_of_this_process_can_be_changed(shapes: Registry[Shape]) -> None:
    shapes.register("circle", CIRCLE)
    assert shapes["circle"] is CIRCLE
    changed = Shape("circle", 1)
    shapes.register("circle", changed)
    assert (shapes["circle"], list(shapes)) == (changed, ["square", "circle"])


def test_a_record_of_this_process_comes_before_one_of_a_package(shapes: Registry[Shape], offer: Offer) -> None:
    offer(circle=f"{__name__}:NOT_A_SHAPE")
    shapes.register("circle", CIRCLE)
    assert (shapes["circle"], list(shapes)) == (CIRCLE, ["square", "circle"])


@pytest.mark.parametrize(
    ("name", "record", "error", "message"),
    [
        ("square", Shape("square"), UsageError, "shape 'square' comes with vpp-deploy; choose another name"),
        ("star", CIRCLE, DependencyError, "shape 'star' of this process is Shape named 'circle'; it must be"),
        ("star", NOT_A_SHAPE, DependencyError, "is dict named None"),
        ("Shape", Shape, DependencyError, "is type named"),
    ],
)
def test_what_cannot_be_registered(
    name: str, record: Any, error: type[Exception], message: str, shapes: Registry[Shape]
) -> None:
    with pytest.raises(error, match=message):
        shapes.register(name, record)
    assert list(shapes) == ["square"]


def test_a_lazy_function_is_imported_when_it_is_called() -> None:
    function = lazy("json:dumps")
    assert (function.__name__, function.__qualname__) == ("dumps", "json:dumps")
    assert function([1], indent=None) == "[1]"
    with pytest.raises(ModuleNotFoundError):
        lazy("no_such_module:function")()


@pytest.mark.parametrize("registry", [FAMILIES, TASKS, BACKENDS], ids=["families", "tasks", "backends"])
def test_every_record_of_the_package_has_its_name(registry: Registry[Any]) -> None:
    assert all(registry[name].name == name for name in registry._built_in)


def test_every_precision_has_its_name() -> None:
    assert all(record.name == name for name, record in PRECISIONS.items())
