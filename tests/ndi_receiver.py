"""Run by test_ndi: receives NDI with the other wrapper, and prints a line of JSON for each picture.

Its argument is a part of the sender's name. A line has the picture's number, its mean colour and
when it came, in seconds of the clock that all processes of a machine share.
"""

import json
import sys
import time
from typing import Any

import numpy as np
from feeds import number_in


def rgb(data: Any, width: int) -> Any:
    """[H, W, 3] of UYVY in BT.709, exactly as ITU-R has it."""
    blue, luma, red = data[0::4], data[1::2], data[2::4]
    y = (luma.astype(float) - 16) * 255 / 219
    u, v = (np.repeat((c.astype(float) - 128) * 255 / 224, 2) for c in (blue, red))
    made = np.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], axis=-1)
    return made.clip(0, 255).reshape(-1, width, 3)


def main(wanted: str) -> None:
    from cyndilib.finder import Finder
    from cyndilib.receiver import ReceiveFrameType, Receiver
    from cyndilib.video_frame import VideoRecvFrame
    from cyndilib.wrapper.ndi_recv import RecvBandwidth, RecvColorFormat

    finder = Finder()
    finder.open()
    while not (names := [name for name in finder.get_source_names() if wanted in name]):
        time.sleep(0.02)
    receiver = Receiver(color_format=RecvColorFormat.UYVY_BGRA, bandwidth=RecvBandwidth.highest)
    frame = VideoRecvFrame()
    receiver.set_video_frame(frame)
    receiver.connect_to(finder.get_source(names[0]))
    while True:
        if receiver.receive(ReceiveFrameType.recv_video, 500) != ReceiveFrameType.recv_video:
            continue
        at = time.perf_counter()
        width, height = frame.get_resolution()
        data = np.empty(frame.get_buffer_size(), np.uint8)
        frame.fill_p_data(data)
        pixels = rgb(data[: height * width * 2], width)
        mean = pixels.reshape(-1, 3).mean(axis=0).tolist()
        print(json.dumps({"n": number_in(pixels), "at": at, "mean": mean}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
