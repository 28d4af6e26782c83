"""A whole corpus through one bundle: what there is, what is done, who does the rest, and views of all results."""

from typing import Final

TASKS_WITH_LINES: Final = ("segmentation", "classification")
"""Tasks whose results are lines of JSON."""
