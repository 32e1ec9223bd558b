"""Syphon: pictures into other programs of this machine on macOS, as a texture on the GPU.

The library is syphon-python (MIT), an extra. It has never run on macOS; the tests have a fake with
the library's own signatures. Used by a feed's thread; this file knows nothing of shows.
"""

from typing import Any

from lwlive.stage.outputs.feed import need
from lwlive.stage.outputs.scaling import Form


def check() -> None:
    """Raises FeedError where Syphon is not installed."""
    need("syphon", "Syphon", "syphon", "; it is for macOS only")


class Syphon:
    """A server of one name."""

    form: Form = "rgba"
    patient = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._server: Any = None
        self._texture: Any = None
        self._size = (0, 0)

    def open(self) -> str:
        """Announce the server. Raises FeedError."""
        check()
        import syphon

        self._server = syphon.SyphonMetalServer(self._name)
        return self._name

    def show(self, pixels: Any, number: int) -> None:  # noqa: ARG002 - it has no times
        """Publish one picture, [H, W, 4]. Its top line comes first, Syphon's last: flipped."""
        from syphon.utils.numpy import copy_image_to_mtl_texture
        from syphon.utils.raw import create_mtl_texture

        height, width = pixels.shape[:2]
        if self._size != (width, height):
            self._texture = create_mtl_texture(self._server.device, width, height)
            self._size = width, height
        copy_image_to_mtl_texture(pixels, self._texture)
        self._server.publish_frame_texture(self._texture, is_flipped=True)

    def abort(self) -> None:
        """Nothing can end a call of Syphon."""

    def close(self) -> None:
        """Take the server away."""
        if self._server is not None:
            self._server.stop()
            self._server = self._texture = None
