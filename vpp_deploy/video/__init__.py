"""Decode, letterbox, draw and encode video."""

from vpp_deploy.video.letterbox import letterbox
from vpp_deploy.video.overlay import draw
from vpp_deploy.video.reader import VideoReader, read_video
from vpp_deploy.video.results import JsonLinesWriter, YouTubeVisWriter
from vpp_deploy.video.writer import VideoWriter

__all__ = [
    "JsonLinesWriter",
    "VideoReader",
    "VideoWriter",
    "YouTubeVisWriter",
    "draw",
    "letterbox",
    "read_video",
]
