"""A program of its own that plays clicks: `clicks.py SINK SECONDS` prints when each one went out.

What the player and the sound server hold back comes on top, so that a latency measured from these
moments is never too small.
"""

import sys
import time
from collections.abc import Generator
from typing import Any

import numpy as np
from music import RATE, click

GAP_S = (0.3307, 0.4613)  # between two clicks, by turns, so that they are in step with no tick


def played(seconds: float) -> Generator[bytes, int, None]:
    """Blocks for the library: silence, and a click now and then."""
    sound, left = click(), np.zeros(0, np.float32)
    wait, number, done = RATE // 2, 0, 0
    count = yield b""
    while done < seconds * RATE:
        while len(left) < wait + count:
            left = np.concatenate([left, np.zeros(count, np.float32)])
        if wait < count:
            at = time.perf_counter() + wait / RATE
            left = np.concatenate([left[:wait], sound, np.zeros(count, np.float32)])
            print(at, flush=True)
            wait += round(GAP_S[number % 2] * RATE)
            number += 1
        block, left = left[:count], left[count:]
        wait, done = wait - count, done + count
        count = yield block.astype("<f4").tobytes()


def main() -> None:
    """Play."""
    import miniaudio

    sink, seconds = sys.argv[1], float(sys.argv[2])
    backend = miniaudio.Backend.PULSEAUDIO
    known: list[dict[str, Any]] = miniaudio.Devices(backends=[backend]).get_playbacks()
    device = miniaudio.PlaybackDevice(
        output_format=miniaudio.SampleFormat.FLOAT32,
        nchannels=1,
        sample_rate=RATE,
        buffersize_msec=5,
        callback_periods=1,
        device_id=next(one["id"] for one in known if one["name"] == sink),
        backends=[backend],
    )
    playing = played(seconds)
    next(playing)
    device.start(playing)
    time.sleep(seconds)
    device.close()


if __name__ == "__main__":
    main()
