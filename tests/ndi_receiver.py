"""Run by test_ndi in a network of its own: a show sends NDI, the other wrapper receives it.

Prints what was found as JSON. Neither program reaches anything beyond this network.
"""

import json
import statistics
import subprocess
import sys
import time
from fractions import Fraction
from typing import Any

import numpy as np
from feeds import Played, feed_of, number_in, numbered, until

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 120), (255, 255, 255), (0, 0, 0))
SIDE = 128
COLOURED = 2000  # ticks from there on show colours


def rgb(data: Any, width: int) -> Any:
    """[H, W, 3] of UYVY in BT.709, exactly as ITU-R has it."""
    blue, luma, red = data[0::4], data[1::2], data[2::4]
    y = (luma.astype(float) - 16) * 255 / 219
    u, v = (np.repeat((c.astype(float) - 128) * 255 / 224, 2) for c in (blue, red))
    made = np.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], axis=-1)
    return made.clip(0, 255).reshape(-1, width, 3)


def main() -> None:
    from cyndilib.finder import Source  # noqa: F401 - loads the library before a thread does
    from cyndilib.receiver import ReceiveFrameType, Receiver
    from cyndilib.video_frame import VideoRecvFrame
    from cyndilib.wrapper.ndi_recv import RecvBandwidth, RecvColorFormat

    from lwlive.stage.outputs import ndi

    found: dict[str, Any] = {}
    said: list[str] = []
    put_at: dict[int, float] = {}
    colour = [0, False]

    def draw(tick: int) -> Any:
        put_at[tick] = time.perf_counter()
        if colour[1]:
            return np.full((SIDE, SIDE, 3), COLOURS[colour[0]], np.uint8)
        return numbered(tick, SIDE)

    address = sys.argv[1] if len(sys.argv) > 1 else None
    feed = feed_of(lambda: ndi.Ndi("rig", "", address, Fraction(30)), said)

    def receiver() -> tuple[Any, Any]:
        one = Receiver(color_format=RecvColorFormat.UYVY_BGRA, bandwidth=RecvBandwidth.highest)
        frame = VideoRecvFrame()
        one.set_video_frame(frame)
        one.connect_to(source)
        return one, frame

    def take(one: Any, frame: Any, count: int) -> list[tuple[Any, float]]:
        got: list[tuple[Any, float]] = []
        end = time.monotonic() + 30
        while len(got) < count and time.monotonic() < end:
            time.sleep(0.001)
            # it would keep Python's lock while it waits
            if one.receive(ReceiveFrameType.recv_video, 0) == ReceiveFrameType.recv_video:
                width, height = frame.get_resolution()
                data = np.empty(frame.get_buffer_size(), np.uint8)
                frame.fill_p_data(data)
                got.append((rgb(data[: height * width * 2], width), time.perf_counter()))
        return got

    with Played(feed, "test", draw) as show:
        until(lambda: feed.sent > 3, f"it does not begin: {said}")
        from cyndilib.finder import Finder

        finder = Finder()
        finder.open()
        source = None
        until(lambda: any("rig" in name for name in finder.get_source_names()), "it is not found")
        source = finder.get_source(
            next(name for name in finder.get_source_names() if "rig" in name)
        )
        one, frame = receiver()
        got = take(one, frame, 60)
        numbers = [number_in(pixels) for pixels, _ in got]
        late = [at - put_at[n] for n, (_, at) in zip(numbers, got, strict=True)]
        found["numbers"] = numbers
        span = got[-1][1] - got[0][1]
        found["rate"] = (numbers[-1] - numbers[0]) / span
        found["share"] = len(numbers) / (numbers[-1] - numbers[0] + 1)
        found["late_ms"] = 1e3 * statistics.median(late[10:])
        one.disconnect()
        one, frame = receiver()  # the receiver went, and is back
        again = take(one, frame, 10)
        found["again"] = [number_in(pixels) for pixels, _ in again]
        colours = []
        for which in range(len(COLOURS)):
            colour[0], colour[1] = which, True
            pixels = take(one, frame, 12)[-1][0]
            colours.append(pixels[..., :3].reshape(-1, 3).mean(axis=0).tolist())
        found["colours"] = colours
        found["listening"] = subprocess.run(
            ["ss", "-ltn"], capture_output=True, text=True, check=True
        ).stdout
        twin: list[str] = []
        other = feed_of(lambda: ndi.Ndi("rig", "", None, Fraction(30)), twin)
        with Played(other, "test"):
            until(lambda: twin, "a taken name is not told of")
        found["twin"] = twin[0]
        one.disconnect()
    found["longest_s"], found["said"] = show.longest_s, said
    found["sent"], found["dropped"], found["ticks"] = feed.sent, feed.dropped, show.tick
    print(json.dumps(found))


main()
