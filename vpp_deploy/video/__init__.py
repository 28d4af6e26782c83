"""Decode, resize, draw and encode images and video."""

from vpp_deploy.video.classification_lines import ClassificationLinesWriter
from vpp_deploy.video.classification_overlay import draw_classification
from vpp_deploy.video.classifier_resize import resize_and_crop, visible_region
from vpp_deploy.video.letterbox import letterbox
from vpp_deploy.video.overlay import draw
from vpp_deploy.video.picture_folder import PictureFolderWriter
from vpp_deploy.video.pictures import read_pictures
from vpp_deploy.video.reader import VideoReader, read_video
from vpp_deploy.video.results import JsonLinesWriter, YouTubeVisWriter
from vpp_deploy.video.writer import VideoWriter

__all__ = [
    "ClassificationLinesWriter",
    "JsonLinesWriter",
    "PictureFolderWriter",
    "VideoReader",
    "VideoWriter",
    "YouTubeVisWriter",
    "draw",
    "draw_classification",
    "letterbox",
    "read_pictures",
    "read_video",
    "resize_and_crop",
    "visible_region",
]
