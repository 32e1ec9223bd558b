"""The soundtrack's laws: sound lies beside the pictures of its moment, nothing is left out."""

import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recorder import decode, flat, number_in, numbered, wait_for

from lwlive.encoders import LIVE
from lwlive.movie import SOUND_RATE, Movie, rate_of
from lwlive.stage.outputs.recorder import Recorder
from lwlive.stage.outputs.soundtrack import WAIT_S, Soundtrack, stretched

BLOCK = 240  # samples of a block, 5 ms
FRAME_S = 1 / 30
CLICKS_S = 0.5  # from one click to the next


class Piece(NamedTuple):
    """A block of sound."""

    frames: Any
    at: float


class Room:
    """A room in which something clicks and something flashes, heard and shown together.

    Its clock ticks inside the work. drift: by how much the sound device's clock is fast;
    jitter_s: how late its stamps may be; slow: of the monitor, whose ticks are not the show's.
    """

    def __init__(
        self, drift: float = 0.0, jitter_s: float = 0.0, slow: float = 0.0, fps: float = 30
    ) -> None:
        self.now, self.fps, self.slow = 1000.0, fps, slow
        self.drift, self.jitter_s = drift, jitter_s
        self.random = np.random.default_rng(1)
        self.begun = self.begun_shown = self.now
        self.count = 0  # samples that came in
        self.deaf: list[tuple[float, float]] = []  # when no sound comes, in seconds of the room
        self._blocks: list[Piece] = []

    def taken(self) -> list[Piece]:
        found, self._blocks = self._blocks, []
        return found

    def _pass(self, until: float) -> None:
        """Let time pass; sound comes in meanwhile, a click each half second."""
        rate = SOUND_RATE * (1 + self.drift)
        while self.begun + (self.count + BLOCK) / rate <= until:
            at = self.begun + self.count / rate
            samples = np.zeros((BLOCK, 2), np.float32)
            times = at - self.begun + np.arange(BLOCK) / rate
            for click in np.unique(np.floor(times / CLICKS_S)):
                place = round((click * CLICKS_S - times[0]) * rate)
                if 0 <= place < BLOCK:
                    samples[place : place + 8] = 0.5
            self.count += BLOCK
            if not any(low <= at - self.begun < high for low, high in self.deaf):
                late = self.jitter_s * self.random.random()
                self._blocks.append(Piece(samples, at + late))
        self.now = until

    def play(self, seconds: float, track: Soundtrack, late: Any = lambda _: 0.0) -> Any:
        """The whole sound of a recording of this length, [2, n]."""
        parts, end = [], 0
        for pts in range(round(seconds * self.fps)):
            due = self.begun + pts / self.fps * (1 + self.slow)
            self._pass(due + late(pts))
            track.shown(pts, self.now)
            for samples, at in track.until((pts + 1) / self.fps):
                assert at == end
                end += samples.shape[1]
                parts.append(samples)
        self._pass(self.now + FRAME_S)
        for samples, at in track.until(seconds, last=True):
            assert at == end
            end += samples.shape[1]
            parts.append(samples)
        return np.concatenate(parts, axis=1)


def clicks(sound: Any) -> Any:
    """When it clicks, in seconds of the movie."""
    loud = np.flatnonzero(np.abs(sound[0]) > 0.15)
    return loud[np.diff(loud, prepend=-1000) > 100] / SOUND_RATE


def test_sound_that_does_not_part_from_the_pictures_is_written_sample_for_sample() -> None:
    room = Room()
    sound = room.play(4, Soundtrack(room, 30))
    assert sound.shape == (2, 4 * SOUND_RATE)
    assert clicks(sound) == pytest.approx(np.arange(8) * CLICKS_S, abs=1 / SOUND_RATE)


@pytest.mark.parametrize("drift", [-3e-4, pytest.param(3e-4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("slow", [-1e-3, 1e-3])
def test_however_the_clocks_part_every_click_is_within_half_a_frame_of_its_flash(
    drift: float, slow: float
) -> None:
    room = Room(drift, jitter_s=0.004, slow=slow)
    sound = room.play(60, Soundtrack(room, 30))
    assert sound.shape[1] == 60 * SOUND_RATE
    found = clicks(sound)
    wanted = np.arange(len(found)) * CLICKS_S / (1 + slow)  # in ticks of the movie
    assert len(found) >= 119
    assert np.abs(found - wanted).max() < FRAME_S / 2


def test_ticks_that_come_late_move_no_sound() -> None:
    room = Room()
    sound = room.play(6, Soundtrack(room, 30), late=lambda pts: 0.012 * (pts % 7 == 3))
    assert clicks(sound) == pytest.approx(np.arange(12) * CLICKS_S, abs=0.002)


def test_where_no_sound_comes_there_is_silence_and_what_follows_is_in_its_place() -> None:
    room = Room()
    room.deaf = [(1.2, 3.7)]
    sound = room.play(6, Soundtrack(room, 30))
    assert clicks(sound) == pytest.approx([0, 0.5, 1, 4, 4.5, 5, 5.5], abs=0.001)
    assert not sound[:, round(1.25 * SOUND_RATE) : round(3.6 * SOUND_RATE)].any()


def test_a_recording_without_a_sound_device_has_silence_of_its_whole_length() -> None:
    room = Room()
    room.deaf = [(0, 100)]
    sound = room.play(3, Soundtrack(room, 30))
    assert sound.shape == (2, 3 * SOUND_RATE)
    assert not sound.any()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    st.floats(-0.002, 0.002),
    st.floats(0, 0.02),
    st.lists(st.tuples(st.floats(0, 4), st.floats(0, 2)), max_size=3),
)
def test_the_sound_is_as_long_as_the_pictures_whatever_comes(
    drift: float, jitter_s: float, deaf: list[tuple[float, float]]
) -> None:
    room = Room(drift, jitter_s)
    room.deaf = [(at, at + long) for at, long in deaf]
    sound = room.play(4, Soundtrack(room, 30))
    assert sound.shape == (2, 4 * SOUND_RATE)
    assert np.isfinite(sound).all()


@given(st.integers(4, 600), st.integers(-3, 3))
def test_stretched_sound_keeps_its_ends_and_its_shape(n: int, by: int) -> None:
    wave = np.sin(np.arange(n) / 20).astype(np.float32)[None].repeat(2, axis=0)
    found = stretched(wave, n + by)
    assert found.shape == (2, max(n + by, 1) if n + by >= 2 else n)
    assert found[:, 0] == pytest.approx(wave[:, 0], abs=1e-6)
    assert found[:, -1] == pytest.approx(wave[:, -1], abs=1e-5)


@pytest.mark.slow
def test_a_recording_has_its_sound_in_sync_in_the_file(tmp_path: Path) -> None:
    """A click and a white picture together, found again together by a foreign decoder."""
    import subprocess

    room = Room()
    with Recorder(tmp_path / "a.mp4", 30, 96, 64, {}, tap=room) as recorder:
        recorder.wait_open(60)
        for pts in range(120):
            room._pass(room.begun + pts / 30)
            white = pts % 15 == 0
            recorder.put(flat((255, 255, 255) if white else (0, 0, 0)), pts, room.now)
            wait_for(recorder, pts + 1)
        room._pass(room.now + WAIT_S)
    assert recorder.failed is None
    raw = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.mp4")]
    sound = subprocess.run([*raw, "-f", "f32le", "-ac", "1", "-"], capture_output=True, check=True)
    grey = subprocess.run(
        [*raw, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True, check=True
    )
    levels = np.frombuffer(grey.stdout, np.uint8).reshape(-1, 64 * 96).mean(axis=1)
    flashes = np.flatnonzero(levels > 128) / 30
    found = clicks(np.frombuffer(sound.stdout, np.float32)[None])
    assert len(flashes) == 8
    assert found == pytest.approx(flashes[1:], abs=FRAME_S / 4)  # the first one gives way
    about = subprocess.run(
        [
            *[
                "ffprobe",
                "-v",
                "error",
                "-show_entries",
                "stream=codec_name,duration",
                "-of",
                "csv=p=0",
            ],
            str(tmp_path / "a.mp4"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = sorted(about.stdout.split())
    assert [line.split(",")[0] for line in lines] == ["aac", "h264"]
    assert float(lines[0].split(",")[1]) == pytest.approx(4.0, abs=0.05)
    assert (tmp_path / "a.mp4").read_bytes().index(b"moov") < 64  # its length is in front


@pytest.mark.parametrize("deaf", [False, True])
def test_whenever_it_is_killed_a_recording_has_lost_less_than_a_second(
    tmp_path: Path, deaf: bool
) -> None:
    """What is in the file after each picture is what a process that is killed then leaves."""
    room, path = Room(), tmp_path / "a.mp4"
    room.deaf = [(1.0, 9.0)] if deaf else []  # the sound server is killed
    track = Soundtrack(room, 30)
    movie = Movie(path, rate_of(30), 96, 64, {}, LIVE, sound=True)
    lost = []
    for pts in range(150):
        room._pass(room.begun + pts / 30)
        track.shown(pts, room.now)
        movie.write(numbered(pts), pts)
        for piece in track.until((pts + 1) / 30):
            movie.hear(*piece)
        with av.open(str(path)) as left:
            times = [p.pts * p.time_base for p in left.demux(video=0) if p.pts is not None]
        assert times == [n / movie._encoding.rate for n in range(len(times))]
        lost.append((pts + 1 - len(times)) / 30)
    movie.finish()
    movie.close()
    assert max(lost[15:]) < 0.9, lost
    assert [number_in(picture) for _, picture in decode(path)] == list(range(150))


@pytest.mark.parametrize("before_s", [0.02, 0.09, 0.4, 2.9])
def test_sound_from_before_the_first_picture_is_left_out(before_s: float) -> None:
    room = Room()
    room._pass(room.begun + before_s)
    room.begun_shown = room.now
    track, parts = Soundtrack(room, 30), []
    for pts in range(90):
        room._pass(room.begun_shown + pts / 30)
        track.shown(pts, room.now)
        parts += [samples for samples, _ in track.until((pts + 1) / 30)]
    parts += [samples for samples, _ in track.until(3, last=True)]
    found = clicks(np.concatenate(parts, axis=1))
    wanted = np.arange(0, 20) * CLICKS_S - before_s
    wanted = wanted[(wanted > 0) & (wanted < 2.9)]
    assert found[found < 2.9] == pytest.approx(wanted, abs=0.001)


def test_the_room_itself_is_right() -> None:
    """Without this the tests above could agree about nothing."""
    room = Room()
    room._pass(room.begun + 2)
    blocks = room.taken()
    sound = np.concatenate([block.frames for block in blocks]).T
    assert clicks(sound) == pytest.approx([0, 0.5, 1.0, 1.5], abs=1e-4)
    assert blocks[10].at == pytest.approx(room.begun + 0.05)


def test_a_file_whose_disk_hangs_costs_no_memory_however_long_the_show_goes_on() -> None:
    room = Room()
    track = Soundtrack(room, room.fps)
    tracemalloc.start()
    for tick in range(100_000):  # an hour of ticks, and nobody asks for sound
        track.shown(tick, tick / room.fps)
    grown, _ = tracemalloc.get_traced_memory()
    room.now += 3000
    room._blocks = [Piece(np.ones((BLOCK, 2), np.float32), room.now)]  # what came last
    end = 0
    for samples, at in track.until(3333):  # then it answers
        assert at == end
        end += samples.shape[1]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert end == round((3333 - WAIT_S) * SOUND_RATE)
    assert (grown < 100_000, most < 20e6) == (True, True)
