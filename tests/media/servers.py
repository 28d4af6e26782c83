"""Servers on the loopback address that give videos, stop giving them, or never answer."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_TS_PACKET = 188
_AT_ONCE = 7 * _TS_PACKET
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track0\r\n"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """The address of a web server of a folder's files."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent_server() -> Iterator[str]:
    """Host and port of a server that takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


class RtspServer:
    """An RTSP server (RFC 2326) that plays an MPEG transport stream over TCP to each client, as cameras do.

    Attributes:
        url: of the video.
        clients: how many have begun to play.

    Args:
        clip: a `.ts` file.
        stall: keep the connection open, and silent, when the clip has ended; otherwise close it.
        pause: seconds between two packets of seven.
        port: to listen at; 0 for any.
    """

    def __init__(self, clip: Path, *, stall: bool = False, pause: float = 0.0, port: int = 0) -> None:
        self._packets = [clip.read_bytes()[at : at + _AT_ONCE] for at in range(0, clip.stat().st_size, _AT_ONCE)]
        self._stall, self._pause = stall, pause
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/clip"
        self.clients = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> RtspServer:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                self._talk(connection)
            except OSError:  # the client has gone
                return

    def _talk(self, connection: socket.socket) -> None:
        requests = connection.makefile("rb")
        while request := requests.readline().decode():
            headers: dict[str, str] = {}
            while (line := requests.readline().decode().strip()) != "":
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            method = request.split()[0]
            body = _SDP if method == "DESCRIBE" else ""
            answer = {
                "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n",
                "SETUP": f"Session: 1\r\nTransport: {headers.get('transport', '')}\r\n",
                "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
            }.get(method, "Session: 1\r\n")
            connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{answer}\r\n{body}".encode())
            if method == "PLAY":
                self._play(connection)
                return

    def _play(self, connection: socket.socket) -> None:
        self.clients += 1
        for number, packet in enumerate(self._packets):
            header = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, number * 90, 1)
            connection.sendall(struct.pack(">cBH", b"$", 0, len(header) + len(packet)) + header + packet)
            if self._stop.wait(self._pause):
                return
        connection.settimeout(0.2)
        while self._stall and not self._stop.is_set():
            try:
                if not connection.recv(1024):
                    return  # the client has gone
            except TimeoutError:
                continue
