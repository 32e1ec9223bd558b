"""Movies: files that every player, browser and VJ program opens, loops and scrubs."""

import errno
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive import files
from lwlive.checkpoint import Size
from lwlive.encoders import LIVE, RecordError, unhurried
from lwlive.movie import Movie, metadata_of, rate_of, trim, write_movie
from lwlive.ring import Pixels
from lwlive.stage.outputs import recorder as recording
from lwlive.stage.outputs.recorder import Recorder
from lwlive.stage.outputs.takes import Takes

X264 = [encoder for encoder in LIVE if encoder.name == "libx264"]


def moving(n: int, height: int = 64, width: int = 96) -> Pixels:
    """A picture of noise that scrolls, so that no two are alike and none is easy to encode."""
    whole = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return np.roll(whole, 3 * n, axis=1)


def boxes(path: Path) -> list[str]:
    """The kinds of a file's outermost boxes, in their order."""
    data, at, found = path.read_bytes(), 0, []
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if size == 1:
            size = struct.unpack(">Q", data[at + 8 : at + 16])[0]
        found.append(kind.decode())
        at += size or len(data)
    return found


def is_ordinary(path: Path) -> bool:
    """Whether its table stands in front and it has no fragments."""
    kinds = boxes(path)
    front = "moov" in kinds and kinds.index("moov") < kinds.index("mdat")
    return front and "moof" not in kinds and b"mvex" not in path.read_bytes()


def packets(path: Path) -> list[Any]:
    """All packets of pictures: their time, whether a key frame, and bytes."""
    with av.open(str(path)) as source:
        video = source.streams.video[0]
        assert video.time_base is not None
        return [
            (p.pts * video.time_base, p.is_keyframe, bytes(p))
            for p in source.demux(video)
            if p.pts is not None
        ]


@pytest.mark.parametrize("crf", [0, 1, 10, 51])
@pytest.mark.parametrize("intra", [False, True])
def test_every_quality_is_of_the_kind_that_all_players_decode(
    tmp_path: Path, crf: int, intra: bool
) -> None:
    write_movie(tmp_path / "m.mp4", map(moving, range(50)), 10, unhurried(crf), {}, intra)
    with av.open(str(tmp_path / "m.mp4")) as source:
        context = source.streams.video[0].codec_context
        next(source.decode(video=0))
        assert context.profile == "High"
        assert context.pix_fmt == "yuv420p"
        assert source.streams.video[0].frames == 50
    assert is_ordinary(tmp_path / "m.mp4")
    times, keys, _ = zip(*packets(tmp_path / "m.mp4"), strict=True)
    assert list(times) == [Fraction(n, 10) for n in range(50)]  # in their order, from 0
    marks = [t for t, key in zip(times, keys, strict=True) if key]
    assert marks[0] == 0
    assert max(b - a for a, b in pairwise([*marks, 5])) <= (Fraction(1, 10) if intra else 1)


def test_the_finest_quality_is_finer_than_the_next(tmp_path: Path) -> None:
    sizes = []
    for crf in (0, 1, 20):
        write_movie(tmp_path / "m.mp4", map(moving, range(10)), 10, unhurried(crf), {})
        sizes.append((tmp_path / "m.mp4").stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("fps", [1, 12.5, 23.976, 29.97, 59.94, 240])
def test_a_key_frame_comes_every_second_at_every_rate(tmp_path: Path, fps: float) -> None:
    still = [np.full((16, 16, 3), 90, np.uint8)] * round(fps * 3 + 1)
    write_movie(tmp_path / "m.mp4", still, fps, unhurried(20), {})
    times, keys, _ = zip(*packets(tmp_path / "m.mp4"), strict=True)
    marks = [t for t, key in zip(times, keys, strict=True) if key]
    assert max(b - a for a, b in pairwise([*marks, len(still) / rate_of(fps)])) <= 1


COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@pytest.mark.parametrize("encoders", [unhurried(10), X264], ids=["render", "show"])
@settings(max_examples=40)
@given(st.lists(COLOURS, min_size=1, max_size=4))
def test_colours_arrive_within_three_and_are_told_as_they_are(
    tmp_path_factory: Any, encoders: Any, colours: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "colours.mp4"
    flat = [np.full((32, 48, 3), colour, np.uint8) for colour in colours]
    write_movie(path, flat, 10, encoders, {})
    with av.open(str(path)) as source:
        frames = list(source.decode(video=0))
    for frame, colour in zip(frames, colours, strict=True):
        tags = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
        assert tags == (1, 1, 1, 1)
        planes = frame.to_ndarray(format="yuv420p")
        luma, blue, red = (int(plane) for plane in (planes[8, 8], planes[36, 8], planes[44, 8]))
        assert np.abs(decoded(luma, blue, red) - colour).max() <= 3


def decoded(luma: int, blue: int, red: int) -> np.ndarray:
    """ITU-R BT.709, 8 bits, limited range, to RGB from 0 to 255."""
    y, u, v = (luma - 16) / 219, (blue - 128) / 224 * 1.8556, (red - 128) / 224 * 1.5748
    r, b = y + v, y + u
    rgb = np.array([r, (y - 0.2126 * r - 0.0722 * b) / 0.7152, b]) * 255
    return np.asarray(np.clip(rgb, 0, 255))


def test_a_movie_that_cannot_be_finished_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "m.mp4"
    path.write_bytes(b"an older one")

    def failing() -> Any:
        yield moving(0)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"No space left.*m\.mp4"):
        write_movie(path, failing(), 10, unhurried(10), {})
    assert path.read_bytes() == b"an older one"
    assert list(tmp_path.iterdir()) == [path]


def recorded(path: Path, numbers: list[int], about: dict[str, str]) -> Recorder:
    """A recording of these ticks, closed properly."""
    with Recorder(path, 30, 96, 64, about) as recorder:
        recorder.wait_open(60)
        for i, n in enumerate(numbers, start=1):
            recorder.put(moving(n), n)
            until = time.monotonic() + 120
            while recorder.frames < i:
                assert time.monotonic() < until
                time.sleep(0.001)
    return recorder


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing waits for all that was put, however slow the machine."""
    monkeypatch.setattr(recording, "_CLOSE_S", 60.0)


NUMBERS = [*range(70), *range(90, 95), 200]  # with gaps, where an encoder was too slow


def test_a_recording_becomes_an_ordinary_file_of_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"title": "a walk", "prompt": "blaue Fäden | 青い糸" * 300}
    before: list[Any] = []
    real = Movie.made_ordinary

    def seen(self: Movie, going: Any) -> None:
        before.extend(packets(tmp_path / "a.mp4"))
        assert "moof" in boxes(tmp_path / "a.mp4")
        real(self, going)

    monkeypatch.setattr(Movie, "made_ordinary", seen)
    recorder = recorded(tmp_path / "a.mp4", NUMBERS, words)
    assert recorder.failed is None
    assert is_ordinary(tmp_path / "a.mp4")
    assert packets(tmp_path / "a.mp4") == before
    assert [float(t) for t, _, _ in before] == pytest.approx([n / 30 for n in NUMBERS], abs=1e-6)
    assert words.items() <= metadata_of(tmp_path / "a.mp4").items()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]
    with av.open(str(tmp_path / "a.mp4")) as source:
        video = source.streams.video[0]
        assert video.frames == len(NUMBERS)
        assert video.average_rate is not None
        assert source.duration is not None
        assert source.duration / 1e6 == pytest.approx(201 / 30, abs=0.05)


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), RuntimeError("?")])
def test_a_recording_that_cannot_be_made_ordinary_stays_and_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(files, "settle", refuse)
    recorder = recorded(tmp_path / "a.mp4", list(range(40)), {})
    assert (recorder.frames, recorder.failed) == (40, None)
    assert "moof" in boxes(tmp_path / "a.mp4")
    assert len(packets(tmp_path / "a.mp4")) == 40
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]
    assert "stays in fragments" in caplog.text


def test_without_room_for_a_copy_a_recording_stays_in_fragments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usage, real = shutil.disk_usage(tmp_path)._replace(free=100), Movie.made_ordinary

    def crowded(self: Movie, going: Any) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        real(self, going)

    monkeypatch.setattr(Movie, "made_ordinary", crowded)
    recorder = recorded(tmp_path / "a.mp4", list(range(10)), {})
    assert recorder.failed is None
    assert len(packets(tmp_path / "a.mp4")) == 10
    assert "No space left" in caplog.text


def test_whoever_waits_for_a_recording_may_leave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, copying = Movie.made_ordinary, threading.Event()

    def slow(self: Movie, going: Any) -> None:
        def still() -> bool:
            copying.set()
            time.sleep(0.05)
            return bool(going())

        real(self, still)

    monkeypatch.setattr(Movie, "made_ordinary", slow)
    recorder = Recorder(tmp_path / "a.mp4", 30, 96, 64, {})
    recorder.wait_open(60)
    for n in range(40):
        recorder.put(moving(n), n)
        time.sleep(0.01)
    closing = threading.Thread(target=recorder.close)
    closing.start()
    assert copying.wait(120)
    recorder.leave()
    closing.join(60)
    assert not closing.is_alive()
    assert recorder.failed is None
    assert len(packets(tmp_path / "a.mp4")) == recorder.frames
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]


def test_a_show_that_ends_leaves_what_takes_too_long_to_become_ordinary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, copied = Movie.made_ordinary, threading.Event()

    def slow(self: Movie, going: Any) -> None:
        def still() -> bool:
            until = time.monotonic() + 120
            while going() and time.monotonic() < until:
                time.sleep(0.01)
            copied.set()
            return bool(going())

        real(self, still)

    monkeypatch.setattr(Movie, "made_ordinary", slow)
    monkeypatch.setattr("lwlive.stage.outputs.takes.ORDINARY_S", 0.5)
    said: list[str] = []
    takes = Takes(tmp_path, tmp_path / "a.mp4", 30, Size(96, 64), said.append)
    takes._follow(True, 0.0, {})
    assert takes._recorder is not None
    takes._recorder.wait_open(60)
    for n in range(10):
        takes._recorder.put(moving(n), n)
    begun = time.monotonic()
    takes.close()
    assert time.monotonic() - begun < 60  # it would be 120 a frame
    assert copied.is_set()
    assert takes.summary() == {
        "file": str(tmp_path / "a.mp4"),
        "frames": 10,
        "dropped": 0,
        "failed": None,
    }
    assert "moof" in boxes(tmp_path / "a.mp4")
    assert len(packets(tmp_path / "a.mp4")) == 10
    assert said == []


def test_a_recording_whose_file_was_removed_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Movie.close

    def removing(self: Movie) -> None:
        real(self)
        self.path.unlink(missing_ok=True)

    monkeypatch.setattr(Movie, "close", removing)
    recorder = recorded(tmp_path / "a.mp4", [0, 1], {})
    assert recorder.failed is not None
    assert "is gone" in recorder.failed


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_link_stays_a_link_and_a_pipe_is_told(tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real.mp4")
    assert recorded(tmp_path / "link.mp4", [0, 1, 2], {}).failed is None
    assert (tmp_path / "link.mp4").is_symlink()
    assert is_ordinary(tmp_path / "real.mp4")
    os.mkfifo(tmp_path / "pipe")
    with (
        Recorder(tmp_path / "pipe", 30, 96, 64, {}) as recorder,
        pytest.raises(RecordError, match="it is a pipe"),
    ):
        recorder.wait_open(60)


@pytest.mark.parametrize("where", ["lwlive.movie.Movie.__init__", "threading.Thread.start"])
def test_a_recording_without_memory_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError if "Movie" in where else RuntimeError("can't start new thread")

    picture = moving(0)
    with monkeypatch.context() as patched:
        patched.setattr(where, full)
        recorder = Recorder(tmp_path / "a.mp4", 30, 96, 64, {})
        with pytest.raises(RecordError, match=r"no memory to record 96x64|new thread"):
            recorder.wait_open(60)
        recorder.put(picture, 0)
        recorder.close()
    assert recorder.frames == 0


def fragments(path: Path) -> bytes:
    """A movie in fragments, with sound: its bytes."""
    movie = Movie(path, rate_of(15), 96, 64, {"title": "x"}, X264, sound=True)
    try:
        for n in range(45):
            movie.write(moving(n), n)
            movie.hear(np.zeros((2, 3200), np.float32), 3200 * n)
        movie.finish()
        movie.close()
    except OSError:
        movie.abandon()
        raise
    return path.read_bytes()


def test_wherever_a_full_disk_cuts_a_recording_all_whole_fragments_play(tmp_path: Path) -> None:
    path, cut_off = tmp_path / "a.mp4", tmp_path / "b.mp4"
    data = fragments(path)
    heads = [at for at in range(len(data)) if data[at : at + 4] == b"moof"]
    begin, end = heads[-3] - 4, heads[-2] - 4  # a fragment
    cut_off.write_bytes(data[:begin])
    whole = packets(cut_off)
    assert len(whole) >= 30
    size = struct.unpack(">I", data[begin : begin + 4])[0]
    for cut in [*range(begin, begin + size, 3), *range(begin + size, end, 97)]:
        cut_off.write_bytes(data[:cut])
        trim(cut_off)
        assert packets(cut_off) == whole, cut - begin
    cut_off.write_bytes(data)
    trim(cut_off)
    assert cut_off.read_bytes() == data


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from test_movie import fragments
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write is then refused, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    fragments(Path(sys.argv[1]))
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
@pytest.mark.parametrize(
    "into", [42, *(pytest.param(n, marks=pytest.mark.slow) for n in (100, 5000))]
)
def test_a_recording_that_the_disk_cuts_plays(tmp_path: Path, into: int) -> None:
    data = fragments(tmp_path / "a.mp4")
    begin = [at for at in range(len(data)) if data[at : at + 4] == b"moof"][-3] - 4
    (tmp_path / "b.mp4").write_bytes(data[:begin])
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "a.mp4"), str(begin + into)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == "File too large\n"
    assert packets(tmp_path / "a.mp4") == packets(tmp_path / "b.mp4")
