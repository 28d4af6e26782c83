"""Follows the objects of a video on a Triton server: a line of JSON for each frame.

    python track.py street.mp4 > tracked.jsonl
    python track.py street.mp4 --protocol http --url 127.0.0.1:8000 > tracked.jsonl

Frames are numbered, so that one whose answer a broken connection has lost is sent again without harm. Where the server
keeps snapshots (`vpp-deploy triton --snapshots`), a video goes on even if the server was killed meanwhile.
"""

from __future__ import annotations

import argparse
import queue
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import av
import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

ATTEMPTS = 10
PATIENCE = 60.0
FINAL = ("400", "404", "StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND", None)
"""Statuses of answers that another attempt would not change; None has an error that comes through a gRPC stream."""
LOST = "must specify the START flag"
"""What a server says of a frame whose sequence it does not have, or has no more."""


class Http:
    """One request after the other over HTTP."""

    def __init__(self, url: str, model: str) -> None:
        self.client = tritonclient.http.InferenceServerClient(url, network_timeout=PATIENCE)
        self.model = model

    def __call__(self, frame: np.ndarray, **sequence: Any) -> str:
        """The result of a frame `[H, W, 3]` as JSON."""
        frame_input = tritonclient.http.InferInput("FRAME", frame.shape, "UINT8")
        frame_input.set_data_from_numpy(frame)
        wanted = [tritonclient.http.InferRequestedOutput("RESULT")]
        return self.client.infer(self.model, [frame_input], outputs=wanted, **sequence).as_numpy("RESULT")[0].decode()

    def close(self) -> None:
        """End the connection."""
        self.client.close()


class Grpc:
    """One stream over gRPC, kept open: the fastest way for a video."""

    def __init__(self, url: str, model: str) -> None:
        self.client = tritonclient.grpc.InferenceServerClient(url)
        self.model = model
        self.answers: queue.Queue[Any] = queue.Queue()
        self.client.start_stream(lambda result, error: self.answers.put(error or result))

    def __call__(self, frame: np.ndarray, **sequence: Any) -> str:
        """The result of a frame `[H, W, 3]` as JSON."""
        frame_input = tritonclient.grpc.InferInput("FRAME", frame.shape, "UINT8")
        frame_input.set_data_from_numpy(frame)
        wanted = [tritonclient.grpc.InferRequestedOutput("RESULT")]
        try:
            self.client.async_stream_infer(self.model, [frame_input], outputs=wanted, **sequence)
        except InferenceServerException as error:  # the stream has broken since the last frame
            raise ConnectionError(str(error)) from error
        answer = self.answers.get(timeout=PATIENCE)
        if isinstance(answer, Exception):
            raise answer
        return answer.as_numpy("RESULT")[0].decode()

    def close(self) -> None:
        """End the connection; what it has not answered is not run."""
        self.client.stop_stream(cancel_requests=True)
        self.client.close()


class Tracker:
    """One video on a server, frame by frame. A frame is sent when the one before has its answer.

    Args:
        connect: opens a connection.
        stream: name of the sequence; no other client may use it at the same time.
    """

    def __init__(self, connect: Callable[[], Any], stream: str) -> None:
        self.connect, self.stream = connect, stream
        self.connection: Any = None

    def run(self, frames: Iterable[tuple[np.ndarray, dict[str, Any]]]) -> Iterator[str]:
        """The results of frames, each given with parameters of its own (`original_size`)."""
        number, frame, parameters = -1, None, {}
        try:
            for number, (frame, parameters) in enumerate(frames):
                yield self.ask(frame, number, parameters, start=number == 0)
            if frame is not None:  # the last number again has its answer already: nothing runs, and the sequence ends
                self.ask(frame, number, parameters, end=True)
        finally:
            if self.connection is not None:
                self.connection.close()

    def ask(self, frame: np.ndarray, number: int, parameters: dict[str, Any], **flags: bool) -> str:
        """The result of a frame, from as many attempts as it takes."""
        delay = 0.1
        for attempt in range(ATTEMPTS):
            given: dict[str, Any] = parameters | {"number": number}
            if flags.get("start") and number:
                given["resume"] = True
            sequence = {f"sequence_{name}": value for name, value in flags.items()}
            try:
                self.connection = self.connection or self.connect()
                return self.connection(frame, sequence_id=self.stream, parameters=given, **sequence)
            except (InferenceServerException, OSError, queue.Empty) as error:
                if LOST in str(error):
                    if flags.get("end"):
                        return ""  # it has ended, and the answer was lost
                    flags["start"] = True  # the server was started anew: go on from its snapshot
                    continue
                status = error.status() if isinstance(error, InferenceServerException) else ""
                if status in FINAL or attempt == ATTEMPTS - 1:
                    raise
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            time.sleep(delay)
            delay *= 2
        raise RuntimeError(f"the server lost frame {number} of {self.stream} again and again")


def frames(path: str, size: tuple[int, int] | None) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """The frames of a video, RGB.

    Args:
        path: of the video.
        size: height and width of the model, to send small frames: letterboxed here, by FFmpeg; None sends them whole.
    """
    with av.open(path) as video:
        for frame in video.decode(video=0):
            if size is None:
                yield frame.to_ndarray(format="rgb24"), {}
                continue
            scale = min(size[0] / frame.height, size[1] / frame.width)
            height, width = (max(1, int(side * scale + 0.5)) for side in (frame.height, frame.width))
            image = np.zeros((*size, 3), np.uint8)
            image[:height, :width] = frame.to_ndarray(
                width=width, height=height, format="rgb24", interpolation="BILINEAR"
            )
            yield image, {"original_size": f"{frame.height}x{frame.width}"}


def main(arguments: list[str] | None = None) -> None:
    """Run a video and print its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video")
    parser.add_argument("--url", default="127.0.0.1:8001", help="of the server's service, without http://")
    parser.add_argument("--protocol", choices=["grpc", "http"], default="grpc")
    parser.add_argument("--model", default="vpp")
    parser.add_argument("--stream", help="name of the sequence; the video's name if it is not given")
    parser.add_argument("--letterbox", metavar="HEIGHTxWIDTH", help="the model's size, to send small frames")
    given = parser.parse_args(arguments)
    size = None if given.letterbox is None else tuple(int(side) for side in given.letterbox.split("x"))
    kind = Grpc if given.protocol == "grpc" else Http
    tracker = Tracker(lambda: kind(given.url, given.model), given.stream or given.video)
    for line in tracker.run(frames(given.video, size)):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
