"""The log of losses: CSV as it goes, and a picture of it."""

from __future__ import annotations

import csv
from pathlib import Path

COLUMNS = (
    "stage", "step", "loss", "classes", "masks", "dice", "pixels", "selection",
    "accuracy", "iou", "kept", "kept_objects", "gradient", "rate", "seconds",
)  # fmt: skip
SMOOTHING = 0.95


class TrainingLog:
    """Rows of figures in a CSV file.

    Args:
        path: the file; an existing one is continued.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = len(self._read())

    def add(self, row: dict[str, float | str | int]) -> None:
        """Append a row; figures that are not in it stay empty."""
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if self.rows == 0 and file.tell() == 0:
                writer.writeheader()
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
        self.rows += 1

    def cut(self, rows: int) -> None:
        """Forget all rows but the first `rows`: those after the checkpoint that a run resumes from."""
        kept = self._read()[:rows]
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)
        self.rows = len(kept)

    def plot(self, path: Path) -> None:
        """Draw losses and quality over the steps, smoothed, with a line where a stage begins."""
        from matplotlib import pyplot as plt

        rows = self._read()
        if not rows:
            return
        figure, panels = plt.subplots(2, 1, figsize=(9, 7), sharex=True)
        panels[0].set_yscale("log")
        for panel, names in zip(
            panels, (("loss", "classes", "masks", "dice", "pixels"), ("accuracy", "iou", "kept", "kept_objects")),
            strict=True,
        ):  # fmt: skip
            for name in names:
                panel.plot(*_smooth([row[name] for row in rows]), label=name, linewidth=1)
            panel.legend(loc="upper right", fontsize=8)
            panel.grid(alpha=0.3)
        for number in range(1, len(rows)):
            if rows[number]["stage"] != rows[number - 1]["stage"]:
                for panel in panels:
                    panel.axvline(number, color="gray", linestyle="--", linewidth=0.8)
        panels[1].set_xlabel("log entries")
        figure.tight_layout()
        figure.savefig(path, dpi=110)
        plt.close(figure)

    def _read(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))


def _smooth(values: list[str]) -> tuple[list[int], list[float]]:
    """Places and exponentially smoothed values of the entries that are not empty."""
    places = [place for place, value in enumerate(values) if value]
    smoothed: list[float] = []
    for place in places:
        value = float(values[place])
        smoothed.append(value if not smoothed else SMOOTHING * smoothed[-1] + (1 - SMOOTHING) * value)
    return places, smoothed
