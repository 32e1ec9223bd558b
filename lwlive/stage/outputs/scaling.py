"""Scaling: pictures in the size and form that other programs take, made once for all of them.

Called by the feeds' threads, which may wait; whoever asks first for a picture makes it, under one
lock, and the others get the same. Where `--output-size` has another shape than the picture, `fit`
says what happens, as for the window. This file knows nothing of networks or libraries but swscale.
"""

import threading
from collections import OrderedDict
from typing import Any, Literal

import numpy as np

from lwlive.checkpoint import Size
from lwlive.ring import Pixels
from lwlive.stage.outputs.window.geometry import Fit, placements

# Names of FFmpeg. The planes of yuv420p lie in a row.
Form = Literal["rgb24", "rgba", "uyvy422", "yuv420p"]
# Numbers of ITU-T H.273: NDI has BT.709 in every size, cameras mostly have BT.601.
_MATRIX = {"uyvy422": 1, "yuv420p": 5}

KEPT = 8  # pictures: feeds are no further apart than their queues are long


class Scaling:
    """Pictures in one size. `size`: None leaves them as they are."""

    def __init__(self, size: Size | None = None, fit: Fit = "fit") -> None:
        self._size, self._fit = size, fit
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[int, Form], Any] = OrderedDict()
        self._reformatter: Any = None

    def size(self, picture: Size) -> Size:
        """What pictures of this size come out as."""
        return self._size or picture

    def of(self, pixels: Pixels, number: int, form: Form) -> Pixels:
        """The picture of tick `number`: [H, W, bytes], or [H * 3 / 2, W] where it has planes."""
        with self._lock:
            sized = self._kept(number, "rgb24", lambda: self._scaled(pixels))
            if form == "rgb24":
                return sized
            return self._kept(number, form, lambda: self._reformed(sized, form))

    def _kept(self, number: int, form: Form, make: Any) -> Pixels:
        key = number, form
        if key not in self._made:
            self._made[key] = make()
            while len(self._made) > 3 * KEPT:
                self._made.popitem(last=False)
        found: Pixels = self._made[key]
        return found

    def _scaled(self, pixels: Pixels) -> Pixels:
        pixels = np.ascontiguousarray(pixels)
        height, width = pixels.shape[:2]
        if self._size is None or (width, height) == self._size:
            return pixels
        whole = placements(self._size, (width, height), self._fit)
        if len(whole) == 1 and self._fit == "fill":  # only what is seen is scaled
            place = whole[0]
            left, top = -place.x * width / place.width, -place.y * height / place.height
            seen = pixels[
                round(top) : round(height - top) or None, round(left) : round(width - left) or None
            ]
            return self._reformed(np.ascontiguousarray(seen), "rgb24", self._size)
        made = np.zeros((self._size.height, self._size.width, 3), np.uint8)
        copy = self._reformed(pixels, "rgb24", Size(whole[0].width, whole[0].height))
        for place in whole:
            turned = copy[:: -1 if place.flip_y else 1, :: -1 if place.flip_x else 1]
            x, y = max(0, place.x), max(0, place.y)
            into = made[y : place.y + place.height, x : place.x + place.width]
            top, left = y - place.y, x - place.x
            into[...] = turned[top : top + into.shape[0], left : left + into.shape[1]]
        return made

    def _reformed(self, pixels: Pixels, form: Form, size: Size | None = None) -> Pixels:
        import av
        from av.video.reformatter import VideoReformatter

        self._reformatter = self._reformatter or VideoReformatter()
        height, width = pixels.shape[:2]
        frame = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(pixels, "rgb24"),
            width=size.width if size else width,
            height=size.height if size else height,
            format=form,
            dst_colorspace=_MATRIX.get(form),
            interpolation="LANCZOS",
            threads=1,
        )
        if form == "uyvy422":  # to_ndarray does not know it
            lines = np.frombuffer(frame.planes[0], np.uint8).reshape(height, -1)
            return lines[:, : width * 2].reshape(height, width, 2).copy()
        found: Pixels = frame.to_ndarray()
        return found
