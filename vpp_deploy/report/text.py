"""Words and numbers as the page shows them. Names come from anywhere: what could disturb is spelled out."""

from __future__ import annotations

from typing import Any, Final

from vpp_deploy.terminal.console import one_line

_LONGEST: Final = 60


def shown(value: Any) -> str:
    """A text without line breaks, control characters and marks that turn the direction of writing."""
    return one_line(str(value))


def short(value: Any) -> str:
    """The same for a picture, where there is little room."""
    text = shown(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def scientific(value: float | None) -> str:
    """Such as `1.2e-06`; a dash for what there is not."""
    return "–" if value is None else f"{value:.1e}" if value else "0"


def percent(share: float | None) -> str:
    """A share in [0, 1], such as `44.8%`."""
    return "–" if share is None else f"{100 * share:.1f}%"


def milliseconds(seconds: float | None) -> str:
    """Such as `12.3`."""
    return "–" if seconds is None else f"{1e3 * seconds:.1f}"


def points(value: float | None) -> str:
    """A score in percent, such as `44.30`."""
    return "–" if value is None else f"{value:.2f}"
