"""A window that shows frames while they are made (Tk, which comes with Python)."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from vpp_deploy.errors import DependencyError, DeviceError

_SHARE: Final = 0.9
"""How much of the screen's width and height a picture may take."""
_CLOSING_KEYS: Final = ("<q>", "<Escape>")


class Window:
    """Shows the newest of the pictures that it is given. A context manager, which closes it.

    All but `put` belongs to the main thread, as Tk wants it on macOS.

    Args:
        title: of the window.

    Raises:
        DependencyError: this Python comes without Tk.
        DeviceError: there is no display.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter as tk

            from PIL import ImageTk
        except ImportError as error:
            raise DependencyError(
                f"--show needs Tk, which this Python lacks ({error}); install it, for example with: apt install "
                "python3-tk"
            ) from error
        try:
            self._root: Any = tk.Tk(className="vpp-deploy")
        except tk.TclError as error:
            raise DeviceError(f"--show finds no display ({error}); leave it out, or run it on a desktop") from error
        self._photo_image = ImageTk.PhotoImage
        self._root.title(title)
        self._label = tk.Label(self._root, borderwidth=0)
        self._label.pack()
        self._photo: Any = None  # Tk does not keep it
        self._pictures: SimpleQueue[npt.NDArray[np.uint8]] = SimpleQueue()
        self._open = True
        self._root.protocol("WM_DELETE_WINDOW", self._close)
        for key in _CLOSING_KEYS:
            self._root.bind(key, lambda event: self._close())

    def put(self, image: npt.NDArray[np.uint8]) -> None:
        """Give a picture `[H, W, 3]` uint8 RGB; from any thread."""
        self._pictures.put(image)

    def update(self) -> bool:
        """Show the newest picture, and tell whether the window is still open: `q`, Escape or its button close it."""
        if not self._open:
            return False
        newest = None
        while True:
            try:
                newest = self._pictures.get_nowait()
            except Empty:
                break
        if newest is not None:
            self._show(newest)
        self._root.update()
        return self._open

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _show(self, image: npt.NDArray[np.uint8]) -> None:
        picture = Image.fromarray(image)
        width, height = self._root.winfo_screenwidth(), self._root.winfo_screenheight()
        scale = min(1.0, _SHARE * width / picture.width, _SHARE * height / picture.height)
        if scale < 1:
            picture = picture.resize((max(1, int(scale * picture.width)), max(1, int(scale * picture.height))))
        self._photo = self._photo_image(picture, master=self._root)
        self._label.configure(image=self._photo)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._photo = None
            self._root.destroy()
