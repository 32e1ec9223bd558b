"""Streams, as other programs receive them: ffmpeg on UDP, RTP, TCP, RTMP, SRT and HLS."""

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
from feeds import FPS, SIDE, Played, feed_of, number_in, numbered, until

from lwlive.params import ControlError
from lwlive.ring import Pixels
from lwlive.stage.outputs import feed as feeding
from lwlive.stage.outputs.feed import Feed, FeedError
from lwlive.stage.outputs.stream import Stream, checked, settings

RATE = Fraction(30)
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 120), (255, 255, 255), (0, 0, 0))
QUICK = ["-fflags", "nobuffer", "-flags", "low_delay"]
QUICK += ["-probesize", "50000", "-analyzeduration", "300000"]  # else it looks for five seconds


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def streaming(url: str, said: list[str], quality: int = 18) -> Feed:
    told = settings(url, (SIDE, SIDE), RATE, quality, 20)
    return feed_of(lambda: Stream(told), said)


class Got(NamedTuple):
    """A received picture, and when."""

    pixels: Pixels
    at: float


class Receiver:
    """An ffmpeg that receives, and the pictures that it has got so far."""

    def __init__(self, words: IO[bytes], *source: str) -> None:
        command = ["ffmpeg", "-v", "error", "-nostdin", *QUICK, *source, "-vsync", "passthrough"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        self._words = words
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words)
        self.got: list[Got] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def listens(self, port: int | None) -> bool:
        """Whether somebody can connect, or send, to the port."""
        sockets = psutil.Process(self.process.pid).net_connections("inet")
        return any(one.laddr and one.laddr.port == port for one in sockets)

    def state(self) -> str:
        """What there is to say of it."""
        self._words.seek(0)
        said = self._words.read().decode(errors="replace")
        ended = self.process.poll()
        return f"{len(self.got)} pictures, ended with {ended}, says {said[-2000:]!r}"

    def _read(self) -> None:
        pipe: Any = self.process.stdout
        while len(data := pipe.read(SIDE * SIDE * 3)) == SIDE * SIDE * 3:
            pixels = np.frombuffer(data, np.uint8).reshape(SIDE, SIDE, 3)
            self.got.append(Got(pixels, time.perf_counter()))

    @property
    def numbers(self) -> list[int]:
        return [number_in(one.pixels) for one in self.got]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def receiving(*source: str, at: str = "") -> Iterator[Receiver]:
    """A receiver. at: the address where it listens before anything is sent."""
    with tempfile.TemporaryFile() as words:  # a pipe that nobody reads would stop it one day
        receiver = Receiver(words, *source)
        try:
            if at:
                port = urlsplit(at).port
                until(lambda: receiver.listens(port), receiver.state)
            yield receiver
        finally:
            receiver.kill()


def ways() -> dict[str, tuple[str, list[str]]]:
    """The address to stream to, and ffmpeg's arguments to receive it, by scheme."""
    port = free_port()
    at = f"127.0.0.1:{port}"
    rtmp = f"rtmp://{at}/live/show"
    return {
        "udp": (f"udp://{at}", ["-i", f"udp://{at}?timeout=30000000"]),
        "rtp": (f"rtp://{at}", ["-f", "rtp", "-i", f"rtp://{at}?timeout=30000000"]),
        "tcp": (f"tcp://{at}", ["-i", f"tcp://{at}?listen=1"]),
        "rtmp": (rtmp, ["-listen", "1", "-i", rtmp]),
        "srt": (f"srt://{at}?latency=20000", ["-i", f"srt://{at}?mode=listener&latency=20000"]),
    }


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["udp", "tcp", "rtmp", "srt"])
def test_a_receiver_gets_every_picture_in_order_and_soon(scheme: str) -> None:
    url, source = ways()[scheme]
    said: list[str] = []
    put_at: dict[int, float] = {}

    def draw(tick: int) -> Pixels:
        put_at[tick] = time.perf_counter()
        return numbered(tick)

    feed = streaming(url, said)
    with receiving(*source, at=url) as receiver, Played(feed, "test", draw) as show:
        until(lambda: len(receiver.got) >= 75, lambda: f"{receiver.state()}: {said}", 60)
    numbers = receiver.numbers
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    times = [one.at for one in receiver.got[-60:]]
    assert 59 / (times[-1] - times[0]) == pytest.approx(FPS, rel=0.1)
    late = [one.at - put_at[n] for n, one in zip(numbers[15:], receiver.got[15:], strict=True)]
    print(f"{scheme}: {1e3 * statistics.median(late):.0f} ms")
    assert statistics.median(late) < (1.5 if scheme in ("rtmp", "srt") else 0.4)
    assert show.longest_s < 0.05
    assert feed.failures == 0
    assert said[0].startswith(f"test: {url}")


@pytest.mark.slow
def test_the_colours_arrive_as_they_were_sent() -> None:
    url, source = ways()["tcp"]
    feed = streaming(url, [])

    def draw(tick: int) -> Pixels:
        return np.full((SIDE, SIDE, 3), COLOURS[tick // 20 % len(COLOURS)], np.uint8)

    converted = ("-vf", "scale=in_color_matrix=bt709")
    with receiving(*source, *converted, at=url) as receiver, Played(feed, "test", draw):
        until(lambda: len(receiver.got) >= 125, receiver.state, 60)
    means = np.array([one.pixels.mean(axis=(0, 1)) for one in receiver.got])
    away = np.abs(means[:, None] - np.array(COLOURS)).max(axis=2)  # [n, colours]
    assert (away.min(axis=1) <= 3).all()
    assert set(away.argmin(axis=1)) == set(range(len(COLOURS)))


@pytest.mark.slow
def test_hls_is_a_folder_that_a_player_plays_and_that_does_not_fill(tmp_path: Path) -> None:
    left, *kept = (tmp_path / f"{name}.ts" for name in ("show1700000000", "show", "hall1700000000"))
    for path in (left, *kept):
        path.touch()
        os.utime(path, (1_700_000_000, 1_700_000_000))
    kept.append(tmp_path / "show1700000002.ts")
    kept[-1].touch()  # a player may still ask for it
    feed = streaming(str(tmp_path / "show.m3u8"), [])
    with Played(feed, "test"):
        until(lambda: len(list(tmp_path.glob("*.ts"))) > 5, "no segments are made", 60)
    assert not left.exists()
    assert all(path.exists() for path in kept)
    with receiving("-live_start_index", "0", "-i", str(tmp_path / "show.m3u8")) as receiver:
        until(lambda: receiver.process.poll() is not None, "it does not end", 60)
    numbers = receiver.numbers
    assert len(numbers) >= 100  # two segments of two seconds, and something of the third
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(list(tmp_path.glob("*.ts"))) >= 2 + len(kept)


@pytest.mark.slow
def test_a_receiver_that_is_killed_is_told_of_and_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeding, "STEADY_S", 0.5)
    url, source = ways()["tcp"]
    said: list[str] = []
    feed = streaming(url, said)
    with Played(feed, "test") as show:
        until(lambda: feed.failures, "nobody is there, and nothing is said")  # no receiver yet
        with receiving(*source) as receiver:
            until(lambda: len(receiver.got) > 20, lambda: f"{receiver.state()}: {said}", 60)
        failures = feed.failures
        until(lambda: feed.failures > failures, "its end is not seen")
        with receiving(*source) as again:
            until(lambda: len(again.got) > 20, lambda: f"{again.state()}: {said}", 60)
            until(lambda: "is back" in said[-1], lambda: f"it is not said: {said}")
    assert show.longest_s < 0.05
    assert again.numbers == list(range(again.numbers[0], again.numbers[0] + len(again.got)))
    assert any("Connection refused" in line for line in said)
    assert any(re.match(r"test is back after \d+ s: tcp://", line) for line in said)


@pytest.mark.slow
def test_a_far_end_that_takes_nothing_is_left_and_the_show_never_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feeding, "STALL_S", 1.0)
    said: list[str] = []
    with socket.socket() as silent:  # connects, and never reads
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        told = settings(f"tcp://127.0.0.1:{port}?send_buffer_size=4096", (SIDE, SIDE), RATE, 1, 99)
        feed = feed_of(lambda: Stream(told), said)
        noise = np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE, 3), np.uint8)
        with Played(feed, "test", lambda tick: noise[tick % 60]) as show:
            until(lambda: feed.failures, lambda: f"nothing is noticed: {said}", 60)
            until(lambda: len(said) > 1, "nothing is said")
    assert "stands still" in said[1]
    assert feed.dropped > 5
    assert show.longest_s < 0.05


@pytest.mark.slow
def test_what_is_not_there_is_a_sentence_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    said: list[str] = []
    feed = streaming(str(tmp_path / "live" / "show.m3u8"), said)
    (tmp_path / "live").rmdir()
    with Played(feed, "test"):
        until(lambda: feed.failures, "nothing is noticed")
        (tmp_path / "live").mkdir()
        until(lambda: (tmp_path / "live" / "show.m3u8").exists(), "it does not begin", 60)
    assert any("No such file or directory; trying again" in line for line in said)


def test_a_port_that_is_taken_is_a_sentence() -> None:
    said: list[str] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        feed = streaming(f"tcp://127.0.0.1:{taken.getsockname()[1]}?listen=1", said)
        with Played(feed, "test"):
            until(lambda: said, "nothing is said")
    assert "Address already in use" in said[0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mount") is None, reason="needs a disk of its own")
def test_a_full_disk_is_a_sentence_and_room_brings_the_stream_back(tmp_path: Path) -> None:
    """On a disk of 256 kB, in a mount namespace of its own where that is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "lwlive-test", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root, to mount a small disk")
    said: list[str] = []
    noise = np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE, 3), np.uint8)
    feed = streaming(str(disk / "show.m3u8"), said, quality=1)
    try:
        with Played(feed, "test", lambda tick: noise[tick % 60]) as show:
            until(lambda: feed.failures, lambda: f"nothing is noticed: {said}", 60)
            until(lambda: len(said) > 1, "nothing is said")
            sent = feed.sent
            for segment in disk.glob("*.ts"):
                segment.unlink()
            until(lambda: feed.sent > sent + 10, "it does not come back", 60)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert any("No space left on device" in line for line in said)
    assert show.longest_s < 0.05


@pytest.mark.parametrize(
    "url",
    [
        "udp://",
        "udp://host",
        "tcp://host:0",
        "tcp://host:99999",
        "http://host:80/x",
        "show.mp4",
        "udp:host:5000",
        "srt//host:9",
        "rtmp://",
    ],
)
def test_an_address_that_is_none_is_refused_with_those_that_are(url: str) -> None:
    with pytest.raises(ControlError, match=r"udp://HOST:PORT.*srt://HOST:PORT.*\.m3u8"):
        checked(url)


def test_addresses_that_are_right_are_taken_as_they_are(tmp_path: Path) -> None:
    for url in ("udp://239.0.0.1:5000?ttl=2", "tcp://[::1]:5000", "rtmp://host/live/key"):
        assert checked(url) == url
    assert checked(str(tmp_path / "a.m3u8")) == str(tmp_path / "a.m3u8")
    away = str(tmp_path / "nowhere" / "a.m3u8")
    with pytest.raises(ControlError, match="no folder"):
        checked(away)
    assert checked(away, waits=True) == away


def test_srt_without_ffmpeg_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ControlError, match="install it"):
        checked("srt://host:9000")


def test_no_process_is_left_behind() -> None:
    said: list[str] = []
    feed = streaming(f"udp://127.0.0.1:{free_port()}", said)
    with Played(feed, "test"):
        until(lambda: feed.sent > 5, "it does not begin")
        sink: Any = feed._sink
        child = sink._child
        assert child.poll() is None
    assert child.poll() == 0


STAGE = """
import sys
from fractions import Fraction
import numpy as np
from lwlive.stage.outputs.stream import Stream, settings
stream = Stream(settings(sys.argv[1], (64, 64), Fraction(30), 1, 99))
stream.open()
random, number = np.random.default_rng(0), 0
while True:
    stream.show(random.integers(0, 256, (64, 64, 3), np.uint8), number)
    number += 1
"""  # pictures of noise fill every buffer on their way, so each process waits for the next one


def waiting_at(port: int, parent: int, count: int) -> list[psutil.Process]:
    """So many processes below `parent`, once the last of them has taken the port."""
    found: list[psutil.Process] = []

    def there() -> bool:
        time.sleep(0.02)  # a look costs much
        found[:] = psutil.Process(parent).children(recursive=True)
        taken = [one.laddr.port for each in found[-1:] for one in each.net_connections("inet")]
        return len(found) == count and port in taken

    until(there, lambda: f"nobody waits at {port}: {found}", 60)
    return found


def is_free(port: int, kind: socket.SocketKind) -> bool:
    """Whether the next stage could take the port."""
    with socket.socket(type=kind) as one, suppress(OSError):
        one.bind(("127.0.0.1", port))
        return True
    return False


def left_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended, with or without somebody to take note of it."""
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="PyAV waits there with Python's lock")
@pytest.mark.parametrize(
    ("url", "count"), [("tcp://127.0.0.1:{}?listen=1", 1), ("srt://127.0.0.1:{}?mode=listener", 2)]
)
def test_a_stream_that_nobody_fetches_ends_with_a_stage_that_is_killed(
    url: str, count: int
) -> None:
    """A guard starts another stage then, which needs the port."""
    port, kind = free_port(), socket.SOCK_DGRAM if "srt" in url else socket.SOCK_STREAM
    stage = subprocess.Popen([sys.executable, "-c", STAGE, url.format(port)])
    processes: list[psutil.Process] = []
    try:
        processes = waiting_at(port, stage.pid, count)
        assert not is_free(port, kind)
        stage.kill()
        stage.wait()
        until(lambda: not left_of(processes), lambda: f"there are {left_of(processes)}", 5)
        until(lambda: is_free(port, kind), f"{port} is taken", 1)
    finally:
        stage.kill()
        stage.wait()
        for process in left_of(processes):
            process.kill()


@pytest.mark.slow
def test_a_carrier_ends_with_a_stream_that_is_given_up() -> None:
    port = free_port()
    told = settings(f"srt://127.0.0.1:{port}?mode=listener", (SIDE, SIDE), RATE, 1, 99)
    stream = Stream(told)
    where = stream.open()
    assert where.startswith(told.url)
    noise = np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE, 3), np.uint8)
    child: Any = stream._child

    def feed() -> None:
        with suppress(FeedError):
            for number in range(10_000):
                stream.show(noise[number % 60], number)

    feeding_it = threading.Thread(target=feed)
    feeding_it.start()
    processes: list[psutil.Process] = []
    try:
        (carrier,) = processes = waiting_at(port, child.pid, 1)
        stream.abort()
        until(lambda: not left_of(processes), lambda: f"{carrier} is left", 5)
    finally:
        stream.abort()
        feeding_it.join()
        stream.close()
        for process in left_of(processes):
            process.kill()
