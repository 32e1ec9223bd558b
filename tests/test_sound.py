"""Sounds: whatever FFmpeg decodes is played, as long as it lasts, in little memory."""

import logging
import struct
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive.render import drums
from lwlive.render.settings import RenderError
from lwlive.render.sound import blocks

RATE = 22_050


def played(path: Path, channels: int = 1, rate: int = RATE) -> np.ndarray:
    """All of a file's sound."""
    return np.concatenate(list(blocks(path, rate, channels)), axis=1)


def tone(
    path: Path, codec: str, layout: str = "stereo", rate: int = 44_100, seconds: float = 2.0
) -> bytes:
    """A file with a tone of 440 Hz in every channel."""
    options = {"write_xing": "0", "id3v2_version": "0"} if path.suffix == ".mp3" else {}
    with av.open(str(path), "w", options=options) as file:
        stream = file.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        wave_of = np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 440 / rate) * 0.5
        count = len(av.AudioLayout(layout).channels)
        frame = av.AudioFrame.from_ndarray(
            np.stack([wave_of] * count).astype(np.float32), "fltp", layout
        )
        frame.sample_rate = rate
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path.read_bytes()


def riff(path: Path, samples: np.ndarray, rate: int = 48_000) -> Path:
    """A WAV file of floats or 16 bits, [n, channels]."""
    depth = samples.dtype.itemsize
    count = samples.shape[1]
    form = (3 if samples.dtype.kind == "f" else 1, count, rate, rate * depth * count)
    head = struct.pack("<4sI4s4sI", b"RIFF", 36 + samples.nbytes, b"WAVE", b"fmt ", 16)
    head += struct.pack("<HHIIHH", *form, depth * count, depth * 8)
    path.write_bytes(head + struct.pack("<4sI", b"data", samples.nbytes) + samples.tobytes())
    return path


FORMATS = {
    "a.wav": "pcm_s16le",
    "a.mp3": "mp3",
    "a.m4a": "aac",
    "a.flac": "flac",
    "a.webm": "libopus",
    "a.opus": "libopus",
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_as_long_and_as_loud_as_it_is(tmp_path: Path, name: str) -> None:
    rate = 48_000 if FORMATS[name] == "libopus" else 44_100
    tone(tmp_path / name, FORMATS[name], rate=rate)
    for channels in (1, 2):
        sound = played(tmp_path / name, channels)
        assert sound.shape[0] == channels
        assert abs(sound.shape[1] / RATE - 2) < 0.1
        assert 0.3 < np.abs(sound[:, RATE // 2 : RATE]).max() < 0.8


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 8, 16, 24])
def test_any_number_of_channels_is_mixed(tmp_path: Path, count: int) -> None:
    t = np.arange(48_000) / 48_000
    samples = np.stack([np.sin(t * 2 * np.pi * 440) * 0.3] * count, axis=1).astype(np.float32)
    path = riff(tmp_path / "a.wav", samples)
    for channels in (1, 2):
        sound = played(path, channels)
        assert sound.shape == (channels, RATE)
        assert np.abs(sound).max() > 0.1


def test_one_channel_is_as_loud_on_both_sides(tmp_path: Path) -> None:
    path = riff(tmp_path / "a.wav", np.full((4800, 1), 0.5, np.float32))
    assert np.abs(played(path, 2, 48_000) - 0.5).max() < 1e-3


def test_rate_and_channels_may_change_on_the_way(tmp_path: Path) -> None:
    mono = tone(tmp_path / "mono.mp3", "mp3", "mono", 32_000)
    stereo = tone(tmp_path / "stereo.mp3", "mp3", "stereo", 44_100)
    (tmp_path / "a.mp3").write_bytes(mono + stereo + mono)
    for channels in (1, 2):
        sound = played(tmp_path / "a.mp3", channels)
        assert abs(sound.shape[1] / RATE - 6) < 0.3
        for second in (1, 3, 5):  # the same tone all along
            part = np.abs(np.fft.rfft(sound[0, second * RATE : (second + 1) * RATE]))
            assert abs(int(part.argmax()) - 440) <= 2


def test_a_scratch_is_silence_and_what_follows_comes_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = bytearray(tone(tmp_path / "a.mp3", "mp3"))
    whole = played(tmp_path / "a.mp3")
    data[9000:12000] = np.random.default_rng(5).bytes(3000)
    (tmp_path / "a.mp3").write_bytes(data)
    with caplog.at_level(logging.WARNING):
        sound = played(tmp_path / "a.mp3")
    assert abs(sound.shape[1] - whole.shape[1]) < 0.06 * RATE
    assert len(caplog.messages) == 1
    assert "damaged bytes were skipped" in caplog.text


def test_bytes_behind_the_end_are_skipped_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tone(tmp_path / "a.mp3", "mp3")
    whole = played(tmp_path / "a.mp3")
    (tmp_path / "a.mp3").write_bytes(data + np.random.default_rng(5).bytes(4000))
    with caplog.at_level(logging.WARNING):
        sound = played(tmp_path / "a.mp3")
    assert sound.shape == whole.shape
    assert "4000 damaged bytes were skipped" in caplog.text


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_samples_that_are_no_numbers_are_silent_and_loud_ones_cut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: type
) -> None:
    samples: np.ndarray = (np.sin(np.arange(96_000) / 20) * 0.5).astype(kind)
    clean = played(riff(tmp_path / "a.wav", samples[:, None]))
    samples[5000:5010], samples[9000], samples[20_000] = np.nan, np.inf, 1e30
    with caplog.at_level(logging.WARNING):
        sound = played(riff(tmp_path / "a.wav", samples[:, None]))
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() < 1.5
    assert np.abs(sound - clean)[0, RATE:].max() < 1e-3
    assert "11 samples that are NaN or infinite are silent" in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if number % 4 else name
        for number, name in enumerate(FORMATS)
    ],
)
@settings(max_examples=25)
@given(st.data())
def test_a_spoilt_sound_is_played_or_told_in_a_sentence(
    tmp_path_factory: Any, name: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"spoilt{Path(name).suffix}"
    spoilt = bytearray(tone(path, FORMATS[name], rate=48_000, seconds=0.4))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[at : at + 40] = data.draw(st.binary(max_size=40))
    path.write_bytes(spoilt[: data.draw(st.integers(0, len(spoilt)))])
    sentence, sound = told_of(lambda: played(path))
    assert sentence is None or (str(path) in sentence and "\n" not in sentence)
    assert sound is None or np.isfinite(sound).all()


def told_of(read: Callable[[], np.ndarray]) -> tuple[str | None, np.ndarray | None]:
    """The sentence for what cannot be played, or the sound."""
    try:
        return None, read()
    except RenderError as error:
        return str(error), None


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_sound(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "random"
    path.write_bytes(data)
    sentence, sound = told_of(lambda: played(path))
    assert sound is None or np.isfinite(sound).all()
    assert sentence is None or str(path) in sentence


def test_what_holds_no_sound_is_told(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "empty.wav"), "wb") as file:
        file.setparams((2, 2, 44100, 0, "NONE", ""))
    for name in ("empty.wav", "nowhere.wav", "."):
        with pytest.raises(RenderError, match=r"has no sound|cannot be read|is no file"):
            played(tmp_path / name)


def medians(size: np.ndarray, axis: int) -> np.ndarray:
    """Medians of SPAN neighbours along an axis, mirrored at its ends."""
    edges = [(0, 0), (0, 0)]
    edges[axis] = (drums.SPAN // 2, drums.SPAN // 2)
    padded = np.pad(size, edges, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, drums.SPAN, axis=axis)
    return np.asarray(np.median(windows, axis=-1))


def whole_percussion(sound: np.ndarray) -> np.ndarray:
    """The measure of drums as its paper has it, of a sound in one piece."""
    padded = np.pad(sound, drums.WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, drums.WINDOW)[:: drums.HOP]
    size = np.abs(np.fft.rfft(frames * np.hanning(drums.WINDOW).astype(np.float32)))
    size = size.astype(np.float32)
    steady, sudden = medians(size, 0) ** 2, medians(size, 1) ** 2
    share = sudden / np.maximum(steady + sudden, 1e-12)
    return np.asarray(np.sqrt(np.mean((size * share) ** 2, axis=1)))


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=8), st.integers(1, 60))
def test_drums_are_the_same_however_the_sound_is_cut(sizes: list[int], rows: int) -> None:
    sound = np.random.default_rng(0).normal(size=sum(sizes)).astype(np.float32)
    sound[len(sound) // 3 : len(sound) // 2] = 0

    def cut() -> Iterator[np.ndarray]:
        at = 0
        for size in sizes:
            yield sound[at : at + size]
            at += size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drums, "ROWS", rows)
        found = np.concatenate(list(drums.percussion(cut())))
    assert found.shape == (len(sound) // drums.HOP + 1,)
    assert np.allclose(found, whole_percussion(sound), rtol=1e-4, atol=1e-5)


MEASURE = """
import resource, sys
from pathlib import Path
from lwlive.render import drums
seconds = drums.heard(Path(sys.argv[1])).seconds
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_a_long_sound_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    peaks = []
    for minutes in (1, 4):
        path, piece = tmp_path / f"{minutes}.wav", np.random.default_rng(0).bytes(2 * RATE)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            for _ in range(60 * minutes):
                file.writeframes(piece)
        words = [sys.executable, "-c", MEASURE, str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        seconds, peak = map(float, done.stdout.split())
        assert seconds == 60 * minutes
        peaks.append(peak / 1024)
    assert peaks[1] - peaks[0] < 60  # MB; in one piece three minutes more are 180
