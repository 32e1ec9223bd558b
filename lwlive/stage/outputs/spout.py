"""Spout: pictures into other programs of this machine on Windows, as a texture on the GPU.

The library is SpoutGL (BSD), an extra. OpenGL belongs to the thread that began with it, so all of
this runs in a feed's thread. It has never run on Windows; the tests have a fake with the library's
own signatures. This file knows nothing of shows.
"""

from typing import Any

from lwlive.stage.outputs.feed import FeedError, need
from lwlive.stage.outputs.scaling import Form


def check() -> None:
    """Raises FeedError where Spout is not installed."""
    need("SpoutGL", "Spout", "spout", "; it is for Windows only")


class Spout:
    """A sender of one name."""

    form: Form = "rgba"
    patient = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._sender: Any = None

    def open(self) -> str:
        """Announce the sender. Raises FeedError."""
        check()
        import SpoutGL

        self._sender = SpoutGL.SpoutSender()
        if not self._sender.createOpenGL():
            raise FeedError("there is no OpenGL on this machine's graphics card for Spout")
        self._sender.setSenderName(self._name)
        return self._name

    def show(self, pixels: Any, number: int) -> None:  # noqa: ARG002 - it has no times
        """Send one picture, [H, W, 4], with its top line first."""
        from SpoutGL.enums import GL_RGBA

        height, width = pixels.shape[:2]
        if not self._sender.sendImage(pixels, width, height, GL_RGBA, False, 0):
            raise FeedError("Spout does not take pictures")
        self._sender.setFrameSync(self._name)

    def abort(self) -> None:
        """Nothing can end a call of Spout."""

    def close(self) -> None:
        """Take the sender away."""
        if self._sender is not None:
            self._sender.releaseSender()
            self._sender.closeOpenGL()
            self._sender = None
