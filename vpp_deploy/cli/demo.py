"""`vpp-deploy demo`: the whole way on a clip of its own."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.text import Text

from vpp_deploy.terminal import console
from vpp_deploy.terminal.progress import phase_bar

EXAMPLES = ("vpp-deploy demo", "vpp-deploy demo -o /tmp/demo")


def command(
    out: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results.")] = Path(
        "demo-output"
    ),
) -> None:
    """Go the whole way in about a minute: make a clip and a small bundle, build, infer, check parity. Needs PyTorch."""
    begin = perf_counter()
    if find_spec("torch") is None:
        import torch
    from vpp_deploy.demo.runner import make_demo_folder, run_demo

    is_new = not out.exists()
    make_demo_folder(out)  # which takes no PyTorch, and that takes seconds
    with phase_bar() as step:
        step("loading PyTorch")
        try:
            import torch  # noqa: F401
        except BaseException:
            with suppress(OSError):  # somebody else uses it
                if is_new:
                    out.rmdir()
            raise
        result = run_demo(out, report=step)
    summary = result.summary
    console.say(Text("Parity passed: the ONNX Runtime engine computes what PyTorch computes.", style="bold green"))
    console.say(
        f"{summary.frames} frames in {summary.wall_seconds:.1f} s, {summary.frames / summary.wall_seconds:.1f} per "
        f"second; the whole demo took {perf_counter() - begin:.0f} s."
    )
    console.show(
        console.facts(
            [
                ("clip", str(result.clip)),
                ("bundle", f"{result.bundle.path}  (engines: {', '.join(result.engines)})"),
                ("tracked video", str(result.tracked)),
                ("results", str(result.json_lines)),
                ("parity report", str(result.parity_report)),
            ]
        )
    )
    console.next_command("vpp-deploy", "inspect", str(result.bundle.path))
    if result.page:
        console.say(f"Everything to look at: {result.page}")
