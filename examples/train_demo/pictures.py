"""The README's curve: `python -m examples.train_demo.pictures REPORT... -o curve.png`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)


@app.command()
def curve(
    reports: Annotated[list[Path], typer.Argument(help="JSON files that `vpp-deploy evaluate --json` wrote.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="PNG to write.")],
) -> None:
    """AP against the share of tokens that the blocks run on, a line for each engine."""
    from matplotlib import pyplot as plt

    runs: list[dict[str, Any]] = [run for path in reports for run in json.loads(path.read_text())["runs"]]
    figure, panel = plt.subplots(figsize=(7, 4.2))
    styles = {"torch": ("o-", 6.0, "PyTorch"), "onnxruntime": ("x--", 9.0, "ONNX Runtime")}
    for metric, colour, label in (("ap_track", "tab:blue", "AP track"), ("map_segm", "tab:orange", "mAP segm")):
        for engine, (style, size, name) in styles.items():
            points = sorted((run["kept_by_blocks"], run[metric]) for run in runs if run["engine"] == engine)
            if points:
                panel.plot(*zip(*points, strict=True), style, color=colour, markersize=size, label=f"{label}, {name}")
    panel.set_xlabel("share of tokens in the transformer blocks, mean over blocks and frames")
    panel.set_ylabel("average precision, %")
    panel.grid(alpha=0.3)
    panel.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    app()
