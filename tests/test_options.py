"""Options of records: declared once, given by Python and by the command line alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer

from vpp_deploy.cli.record_options import Source, options_by_name, refuse_foreign, with_record_options
from vpp_deploy.errors import UsageError
from vpp_deploy.options import NoOptions, is_given, make_options, option, options_of


@dataclass(frozen=True)
class Kettle:
    """Options of kettles."""

    cups: int = option(1, "How many cups.", metavar="N", minimum=0)
    heat: float | None = option(None, "How hot.", metavar="DEGREES", shown="hot enough", minimum=-273)
    memory_bytes: int | None = option(None, "How much.", flag="--memory", metavar="MIB", minimum=1, scale=2**20)
    whistle: bool = option(False, "Make a noise.")
    leaves: tuple[str, ...] = option((), "What goes in.", flag="--leaf", metavar="NAME")
    recipe: Path | Sequence[str] | None = option(None, "How to.", metavar="FILE", type=Path)
    maker: Any = None


@dataclass(frozen=True)
class Pan:
    cups: int = option(9, "How many cups.", metavar="N")
    lid: bool = option(False, "With a lid.")


SOURCES = [Source("kettle", "kettles", "Kettles", Kettle), Source("pan", "pans", "Pans", Pan)]


def test_what_is_declared() -> None:
    found = {item.name: item for item in options_of(Kettle)}
    assert list(found) == ["cups", "heat", "memory_bytes", "whistle", "leaves", "recipe"]  # `maker` is for Python alone
    assert [item.flag for item in found.values()] == [
        "--cups",
        "--heat",
        "--memory",
        "--whistle",
        "--leaf",
        "--recipe",
    ]
    assert [item.type for item in found.values()] == [int, float, int, bool, str, Path]
    assert [item.repeated for item in found.values()] == [False] * 4 + [True, False]
    assert [item.default for item in found.values()] == [1, None, None, False, (), None]
    assert (found["heat"].shown, found["cups"].minimum, found["memory_bytes"].scale) == ("hot enough", 0, 2**20)
    assert options_of(NoOptions) == ()


def test_what_is_given_and_what_is_not() -> None:
    assert [is_given(value) for value in (0, 0.0, "", "x", (1,), True, -1)] == [True] * 7
    assert [is_given(value) for value in (None, False, ())] == [False] * 3


def test_options_are_made_from_what_is_given() -> None:
    assert make_options(Kettle, {}, "kettle") == Kettle()
    made = make_options(Kettle, {"cups": 0, "whistle": True, "maker": "me", "heat": -273}, "kettle")
    assert (made.cups, made.whistle, made.maker, made.heat) == (0, True, "me", -273)
    assert make_options(NoOptions, {}, "nothing") == NoOptions()


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (Kettle, {"cup": 1}, "tea has no option cup; it has cups, heat, memory_bytes, whistle, leaves, recipe, maker"),
        (Kettle, {"a": 1, "cups": 1, "b": 2}, "tea has no option a, b; it has cups"),
        (NoOptions, {"cups": 1}, "tea has no option cups; it has none"),
        (Kettle, {"cups": -1}, "cups is -1; it must be at least 0"),
        (Kettle, {"memory_bytes": 0}, "memory bytes is 0; it must be at least 1"),
        (Kettle, {"heat": -273.5}, "heat is -273.5; it must be at least -273"),
        (Kettle, {"heat": float("nan")}, "heat is nan; it must be at least -273"),
        (Kettle, {"heat": "hot"}, "heat is 'hot'; it must be a number"),
        (Kettle, {"cups": "2"}, "cups is '2'; it must be a whole number"),
        (Kettle, {"cups": 1.5}, "cups is 1.5; it must be a whole number"),
        (Kettle, {"cups": True}, "cups is True; it must be a whole number"),
    ],
)
def test_options_that_are_refused(kind: type, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_options(kind, given, "tea")


def run(*words: str, sources: Sequence[Source] = SOURCES) -> dict[str, Any]:
    """What a command gets of these words."""
    seen: dict[str, Any] = {}

    def command(name: str, loud: bool = False, *, given: dict[str, Any]) -> None:
        seen.update(given, name=name, loud=loud)

    app = typer.Typer()
    app.command()(with_record_options(command, sources))
    typer.main.get_command(app).main(["tea", *words], standalone_mode=False)
    return seen


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {}),
        (["--cups", "0"], {"cups": 0}),
        (["--memory", "3"], {"memory_bytes": 3 * 2**20}),
        (["--whistle", "--lid"], {"whistle": True, "lid": True}),
        (["--leaf", "mint", "--leaf", "rose"], {"leaves": ("mint", "rose")}),
        (["--recipe", "a/b.txt", "--heat", "-3.5"], {"recipe": Path("a/b.txt"), "heat": -3.5}),
    ],
)
def test_the_command_line_gives_what_was_typed(words: list[str], given: dict[str, Any]) -> None:
    assert run(*words) == {"name": "tea", "loud": False, **given}
    assert run(*words, "--loud")["loud"] is True


@pytest.mark.parametrize(
    "words", [["--cups", "-1"], ["--memory", "0"], ["--cups", "many"], ["--no-whistle"], ["--maker", "me"]]
)
def test_the_command_line_refuses(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"\S") as caught:
        run(*words)
    assert callable(getattr(caught.value, "format_message", None))  # the parser's own error, which becomes one line


def test_an_option_of_several_is_one_option() -> None:
    declared = options_by_name(SOURCES)
    assert [owner.name for owner in declared["cups"][1]] == ["kettle", "pan"]
    assert declared["cups"][0].default == 1  # of the first


def test_options_of_others_are_refused() -> None:
    refuse_foreign({"cups": 1, "lid": True}, SOURCES, "pan", "my pan")
    with pytest.raises(UsageError, match=r"^--lid: my pan has none; leave it out$"):
        refuse_foreign({"cups": 1, "lid": True}, SOURCES, "pan", "my pan", {"lid": "has none"})
    with pytest.raises(UsageError, match="--whistle, --memory: for kettles, not for my pan; leave it out"):
        refuse_foreign({"whistle": True, "memory_bytes": 1, "cups": 1}, SOURCES, "pan", "my pan")


@dataclass(frozen=True)
class Bowl:
    cups: str = option("", "Which cups.")


@dataclass(frozen=True)
class Jug:
    cups: tuple[int, ...] = option((), "Which cups.")


@dataclass(frozen=True)
class Loud:
    loud: int = option(1, "How loud.")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Bowl, "--cups is int for kettle and str for other; one of them must rename it"),
        (Jug, "--cups is int for kettle and int for other"),
        (Loud, "--loud of other is an option of every model; it must rename its own"),
    ],
)
def test_records_that_mean_different_things_by_one_name(kind: type, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(sources=[*SOURCES, Source("other", "others", "Others", kind)])


def test_only_dataclasses_declare_options() -> None:
    class Plain:
        cups = option(1, "How many.")

    with pytest.raises(TypeError):
        options_of(Plain)


def test_a_field_without_a_default_is_for_python() -> None:
    @dataclass(frozen=True)
    class Needs:
        cups: int
        also: list[int] = field(default_factory=list)

    assert options_of(Needs) == ()
    assert make_options(Needs, {"cups": 3}, "it").cups == 3
