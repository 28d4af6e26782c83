"""Decode, resize, draw and encode images and video."""

from vpp_deploy.media.input_file import InputFile
from vpp_deploy.media.inputs import find_inputs
from vpp_deploy.media.letterbox import letterbox
from vpp_deploy.media.png_folder_writer import PictureFolderWriter
from vpp_deploy.media.reader import VideoReader, read_video
from vpp_deploy.media.writer import VideoWriter

__all__ = ["InputFile", "PictureFolderWriter", "VideoReader", "VideoWriter", "find_inputs", "letterbox", "read_video"]
