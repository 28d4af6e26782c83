"""Fixtures of the command line, for commands that the documentation shows."""

from tests.cli.conftest import bundle, cli, clip

__all__ = ["bundle", "cli", "clip"]
