"""NDI: pictures over the network to Resolume, OBS, vMix and whatever else receives it.

The library is ndi-python, which brings NDI's own runtime; that one is proprietary, so it is an
extra. It sends in threads of its own and copies nothing: a picture is kept until the next one is
there. What NDI carries is UYVY in BT.709; its own conversion from RGB is several levels off, so
pictures come in that form already. Used by a feed's thread; this file knows nothing of shows.
"""

import json
import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from lwlive.stage.outputs.feed import FeedError, need
from lwlive.stage.outputs.scaling import Form


def check() -> None:
    """Raises FeedError where NDI is not installed."""
    need("NDIlib", "NDI", "ndi")


class Ndi:
    """A sender of one name. groups: comma between them; address: of the one network to use."""

    form: Form = "uyvy422"
    patient = False

    def __init__(self, name: str, groups: str, address: str | None, rate: Fraction) -> None:
        self._name, self._groups, self._address, self._rate = name, groups, address, rate
        self._sender: Any = None
        self._frame: Any = None  # NDI reads its pixels until the next one is sent

    def open(self) -> str:
        """Announce the sender. Raises FeedError."""
        check()
        if self._address is not None:
            _keep_to(self._address)
        import NDIlib

        if not NDIlib.initialize():
            raise FeedError("NDI does not run on this processor", lasting=True)
        wanted = NDIlib.SendCreate()
        wanted.ndi_name, wanted.groups = self._name, self._groups
        wanted.clock_video = wanted.clock_audio = False  # the show has the clock
        self._sender = NDIlib.send_create(wanted)
        if self._sender is None:
            raise FeedError(
                f"there is a sender called {self._name!r} on this machine already; "
                "give --ndi another name"
            )
        return str(NDIlib.send_get_source_name(self._sender).ndi_name)

    def show(self, pixels: Any, number: int) -> None:  # noqa: ARG002 - NDI takes it as it comes
        """Send one picture, [H, W, 2]."""
        import NDIlib

        frame = NDIlib.VideoFrameV2()
        frame.data = pixels
        frame.yres, frame.xres = pixels.shape[:2]
        frame.line_stride_in_bytes = pixels.strides[0]
        frame.FourCC = NDIlib.FOURCC_VIDEO_TYPE_UYVY
        frame.frame_rate_N, frame.frame_rate_D = self._rate.numerator, self._rate.denominator
        frame.frame_format_type = NDIlib.FRAME_FORMAT_TYPE_PROGRESSIVE
        frame.timecode = NDIlib.SEND_TIMECODE_SYNTHESIZE
        NDIlib.send_send_video_async_v2(self._sender, frame)
        self._frame = (frame, pixels)

    def abort(self) -> None:
        """Nothing can end a call of NDI; none has been seen to wait."""

    def close(self) -> None:
        """Take the sender off the network."""
        if self._sender is not None:
            import NDIlib

            NDIlib.send_destroy(self._sender)  # waits until it has let go of the last picture
            self._sender = self._frame = None


def _keep_to(address: str) -> None:
    """Hand NDI the address of the one network to use, with what its own file says of the rest.

    Its port still answers on every address (seen with 6.3.2). NDI reads its file once, when it is
    loaded.
    """
    own = Path(os.environ.get("NDI_CONFIG_DIR", Path.home() / ".ndi")) / "ndi-config.v1.json"
    try:
        found = json.loads(own.read_text("utf-8"))
        settings = dict(found["ndi"])
    except (OSError, ValueError, KeyError, TypeError):  # none, or none that NDI could read
        settings = {}
    settings["adapters"] = {"allowed": [address]}
    folder = Path(tempfile.mkdtemp(prefix="lwlive-ndi-"))
    file = folder / own.name
    file.write_text(json.dumps({"ndi": settings}), "utf-8")
    os.environ["NDI_CONFIG_DIR"] = str(folder)
