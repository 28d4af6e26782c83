"""The order in which tests that run side by side begin."""

from tests.conftest import LONGEST, REPOSITORY


def test_the_longest_modules_are_there() -> None:
    assert [name for name in LONGEST if not (REPOSITORY / "tests" / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
