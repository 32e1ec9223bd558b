"""A program of its own that plays clicks: `pw-jack python clicks.py SINK SECONDS [GAP_S...]`.

It prints when the sink had each one. A client of JACK's writes straight into the cycle that the
sink plays. A player of PulseAudio's is held back by 15 ms more, which its audience hears late too.
"""

import ctypes
import sys
import time
from ctypes import POINTER, c_char_p, c_float, c_int, c_uint32, c_ulong, c_void_p
from itertools import cycle
from typing import Any

import numpy as np
from music import RATE, click

GAPS_S = (0.3307, 0.4613)  # between two clicks, by turns, so that they are in step with no tick
OUTPUT, INPUT = 2, 1  # flags of a port
CALLS: dict[str, tuple[Any, list[Any]]] = {  # of JACK's library: what each gives, and takes
    "jack_client_open": (c_void_p, [c_char_p, c_int, POINTER(c_int)]),
    "jack_port_register": (c_void_p, [c_void_p, c_char_p, c_char_p, c_ulong, c_ulong]),
    "jack_port_get_buffer": (c_void_p, [c_void_p, c_uint32]),
    "jack_port_name": (c_char_p, [c_void_p]),
    "jack_get_ports": (POINTER(c_char_p), [c_void_p, c_char_p, c_char_p, c_ulong]),
    "jack_set_process_callback": (c_int, [c_void_p, c_void_p, c_void_p]),
    "jack_activate": (c_int, [c_void_p]),
    "jack_connect": (c_int, [c_void_p, c_char_p, c_char_p]),
}
Buffer = np.ndarray[Any, np.dtype[np.float32]]


class Clicks:
    """Fills one buffer after the other."""

    def __init__(self, gaps_s: tuple[float, ...]) -> None:
        self._gaps_s = cycle(gaps_s)
        self._wait = RATE // 2  # samples to the next click
        self._left = np.zeros(0, np.float32)  # of one that has begun
        self.at: list[float] = []  # moments

    def fill(self, buffer: Buffer, now: float) -> None:
        """Write the samples of a cycle that begins now."""
        count = len(buffer)
        sound = np.concatenate([self._left, np.zeros(count, np.float32)])
        if self._wait < count:
            self.at.append(now + self._wait / RATE)
            sound = np.concatenate([sound[: self._wait], click(), np.zeros(count, np.float32)])
            self._wait += round(next(self._gaps_s) * RATE)
        buffer[:], self._left = sound[:count], np.trim_zeros(sound[count:], "b")
        self._wait -= count


def main() -> None:
    """Play."""
    sink, seconds, *gaps = sys.argv[1:]
    jack: Any = ctypes.CDLL("libjack.so.0")
    for name, (gives, takes) in CALLS.items():
        getattr(jack, name).restype, getattr(jack, name).argtypes = gives, takes
    client = jack.jack_client_open(b"clicks", 1, ctypes.byref(c_int()))
    port = jack.jack_port_register(client, b"out", b"32 bit float mono audio", OUTPUT, 0)
    clicks = Clicks(tuple(map(float, gaps)) or GAPS_S)

    def process(count: int, _: object) -> int:
        now = time.perf_counter()
        samples = ctypes.cast(jack.jack_port_get_buffer(port, count), POINTER(c_float))
        clicks.fill(np.ctypeslib.as_array(samples, (count,)), now)
        return 0

    called = ctypes.CFUNCTYPE(c_int, c_uint32, c_void_p)(process)
    jack.jack_set_process_callback(client, ctypes.cast(called, c_void_p), None)
    jack.jack_activate(client)
    inputs = jack.jack_get_ports(client, f"^{sink}:".encode(), None, INPUT)
    assert inputs, f"there is no sink {sink}"
    number = 0
    while inputs[number]:
        jack.jack_connect(client, jack.jack_port_name(port), inputs[number])
        number += 1
    time.sleep(float(seconds))
    print("\n".join(map(str, clicks.at)))


if __name__ == "__main__":
    main()
