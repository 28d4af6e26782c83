"""Cameras, streams and files as they come: read, run and written, each on its own."""

from vpp_deploy.serving.live.run import LiveRun

__all__ = ["LiveRun"]
