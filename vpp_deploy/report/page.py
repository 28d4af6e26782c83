"""The page: what a bundle holds and what was measured of it, put together and written."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from vpp_deploy._version import __version__
from vpp_deploy.bundle import Bundle
from vpp_deploy.files.outputs import OutputFile, OutputWriter
from vpp_deploy.report import about_bundle, about_measured
from vpp_deploy.report.measurements import Benchmark, Evaluation
from vpp_deploy.report.parity import Parity
from vpp_deploy.report.pictures import Moment
from vpp_deploy.report.text import shown

_TEMPLATES: Final = resources.files("vpp_deploy.report") / "templates"


@dataclass(frozen=True)
class Measured:
    """What is shown beside the bundle.

    Attributes:
        parity: checks of its engines.
        benchmarks: of it, maybe beside others.
        evaluations: of it, and of others to compare it with.
        moments: frames with what was found in them.
        source: what the frames are of.
        video: `data:` address of a video to play, see `vpp_deploy.report.pictures.video_url`; empty for none.
    """

    parity: Sequence[Parity] = ()
    benchmarks: Sequence[Benchmark] = ()
    evaluations: Sequence[Evaluation] = ()
    moments: Sequence[Moment] = ()
    source: str = ""
    video: str = ""


class PageFile(OutputWriter):
    """The page as a file that is complete or not there; known to be writable before the work.

    Args:
        path: the target; an existing file is replaced.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._output = OutputFile(path)

    def write(self, bundle: Bundle, measured: Measured) -> None:
        """Write the page; see `render`.

        Raises:
            OutputError: writing failed.
        """
        self._output.write(render(bundle, measured))

    def finish(self) -> None:
        """Nothing is left to be written."""

    def commit(self) -> None:
        """Give the file its name."""
        self._output.commit()

    def discard(self) -> None:
        """Give up: leave nothing behind."""
        self._output.discard()


def render(bundle: Bundle, measured: Measured) -> bytes:
    """The whole page as UTF-8.

    Args:
        bundle: an open bundle.
        measured: see there.

    Raises:
        BundleError: a graph or a parity summary of the bundle cannot be read.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else shown(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _read("frames.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    manifest = bundle.manifest
    content: dict[str, Any] = {
        "title": f"{manifest.model.name}, {bundle.path.name}",
        "manifest": manifest,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "style": Markup(_read("report.css")),
        "script": Markup(script),
        "script_hash": f"sha256-{digest}",
        "warnings": list(about_bundle.warnings(bundle, measured.parity)),
        "model": about_bundle.model(bundle),
        "interface": about_bundle.interface(bundle),
        "glance": about_bundle.glance(bundle, measured.parity, measured.benchmarks, measured.evaluations),
        "stages": about_bundle.stages(bundle),
        "parity": about_measured.parity(bundle, measured.parity),
        "moments": measured.moments,
        "source": measured.source,
        "video": measured.video,
        "speed": [about_measured.speed(one, f"speed-{n}") for n, one in enumerate(measured.benchmarks)],
        "accuracy": about_measured.accuracy(measured.evaluations),
        "provenance": about_bundle.provenance(bundle),
    }
    return environment.get_template("report.html").render(content).encode("utf-8", "backslashreplace")


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
