"""The recorder's laws: every shown frame once, at its time, in its colours; no one waits."""

import errno
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lwlive.encoders import CODECS, Encoder, RecordError
from lwlive.files import claimed, free, stamped
from lwlive.movie import Movie, rate_of
from lwlive.ring import Pixels
from lwlive.stage.outputs import recorder as module
from lwlive.stage.outputs.recorder import Recorder

CLOSE_S, JOIN_S = module._CLOSE_S, module._JOIN_S
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 30, 120)]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing waits for all that was put, however slow the machine; tests of closing set these."""
    monkeypatch.setattr(module, "_CLOSE_S", 60.0)
    monkeypatch.setattr(module, "_JOIN_S", 60.0)


def flat(colour: tuple[int, int, int], height: int = 64, width: int = 96) -> Pixels:
    """One plain picture, [H, W, 3]."""
    return np.full((height, width, 3), colour, np.uint8)


def numbered(n: int) -> Pixels:
    """A picture that says its number: 8 stripes, one for each bit."""
    bits = np.repeat([255 * (n >> bit & 1) for bit in range(8)], 12)  # [96]
    return np.broadcast_to(bits[None, :, None], (64, 96, 3)).astype(np.uint8)


def number_in(picture: Pixels) -> int:
    """The number in a decoded picture."""
    return sum(int(picture[32, 12 * bit + 6, 1] > 127) << bit for bit in range(8))


def record(path: Path, frames: int, fps: float = 30) -> Recorder:
    """Record numbered pictures no faster than the encoder takes them."""
    with Recorder(path, fps, 96, 64, {}) as recorder:
        recorder.wait_open(60)
        for n in range(frames):
            recorder.put(numbered(n), n)
            wait_for(recorder, n + 1)
    return recorder


def wait_for(recorder: Recorder, frames: int) -> None:
    """Wait until so many frames are encoded."""
    until = time.monotonic() + 120
    while recorder.frames < frames:
        assert time.monotonic() < until, f"{recorder.frames} of {frames} frames encoded"
        time.sleep(0.001)


def decode(path: Path) -> list[tuple[float, Pixels]]:
    """Every frame of the file: its time in seconds and its pixels."""
    import av

    with av.open(str(path)) as movie:
        frames = list(movie.decode(video=0))
        return [(float(f.time), np.asarray(f.to_ndarray(format="rgb24"), np.uint8)) for f in frames]


def test_every_frame_put_is_in_the_file_once_and_in_order(tmp_path: Path) -> None:
    recorder = record(tmp_path / "a.mp4", 100)
    assert (recorder.frames, recorder.dropped, recorder.failed) == (100, 0, None)
    assert [number_in(p) for _, p in decode(tmp_path / "a.mp4")] == list(range(100))


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(25, Fraction(25)), (29.97, Fraction(30000, 1001)), (59.94, Fraction(60000, 1001))],
)
def test_rate_and_duration_are_exact(tmp_path: Path, fps: float, rate: Fraction) -> None:
    import av

    record(tmp_path / "a.mp4", 50, fps)
    with av.open(str(tmp_path / "a.mp4")) as movie:
        assert movie.streams.video[0].average_rate == rate
        assert movie.duration is not None
        assert movie.duration / 1e6 == pytest.approx(50 / rate, abs=1e-4)
    times = [t for t, _ in decode(tmp_path / "a.mp4")]
    assert times == pytest.approx([n / rate for n in range(50)], abs=1e-6)


def test_rates_that_are_not_broadcast_rates_are_taken_as_they_are() -> None:
    assert [rate_of(fps) for fps in (1, 12.5, 30, 23.98)] == [1, 12.5, 30, Fraction("23.98")]


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_come_back_and_are_tagged_bt709(
    tmp_path: Path, colour: tuple[int, int, int]
) -> None:
    import av

    with Recorder(tmp_path / "a.mp4", 30, 96, 64, {}) as recorder:
        for n in range(3):
            recorder.put(flat(colour), n)
    with av.open(str(tmp_path / "a.mp4")) as movie:
        frame = next(movie.decode(video=0))
    assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - colour).max() <= 3
    tags = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
    assert tags == (1, 1, 1, 1)
    # ITU-R BT.709, 8 bit: the tag must be true, or a player that obeys it shows other colours
    red, green, blue = (c / 255 for c in colour)
    luma = 16 + 219 * (0.2126 * red + 0.7152 * green + 0.0722 * blue)
    assert abs(int(frame.to_ndarray(format="yuv420p")[32, 48]) - luma) <= 2
    assert frame.format.name == "yuv420p"


def test_there_is_a_key_frame_every_second(tmp_path: Path) -> None:
    import av

    record(tmp_path / "a.mp4", 95)
    with av.open(str(tmp_path / "a.mp4")) as movie:
        keys = [n for n, packet in enumerate(movie.demux(video=0)) if packet.is_keyframe]
    assert keys[0] == 0
    assert max(np.diff([*keys, 95])) <= 30


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("put", [1, 2, 7, 20])
def test_there_is_one_every_second_too_where_a_slow_encoder_drops_most_frames(
    tmp_path: Path, codec: str, put: int
) -> None:
    import av

    ticks, rate = range(0, 300, put), 30
    movie = Movie(tmp_path / "a.mp4", rate_of(rate), 96, 64, {}, CODECS[codec].encoders)
    for tick in ticks:
        movie.write(flat((tick % 250, 9, 9)), tick)
    movie.finish()
    movie.close()
    with av.open(str(tmp_path / "a.mp4")) as file:
        packets = [(p.pts, p.time_base, p.is_keyframe) for p in file.demux(video=0)]
    times = [(float(pts * base), key) for pts, base, key in packets if pts is not None and base]
    keys = [at for at, key in times if key]
    assert len(times) == len(ticks)
    assert max(np.diff([*keys, ticks[-1] / rate])) <= 1 + (put - 1) / rate + 1e-3


def test_metadata_comes_back(tmp_path: Path) -> None:
    import av

    words = {"title": "a walk", "prompt": "blaue Fäden | 青い糸", "seed": "0"}
    with Recorder(tmp_path / "a.mp4", 30, 96, 64, words) as recorder:
        recorder.put(flat((9, 9, 9)), 0)
    with av.open(str(tmp_path / "a.mp4")) as movie:
        assert words.items() <= movie.metadata.items()


def test_a_slow_encoder_drops_frames_counts_them_and_keeps_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, go = Movie.write, threading.Event()

    def stalled(movie: Movie, pixels: Pixels, pts: int) -> int:
        assert go.wait(120)
        return write(movie, pixels, pts)

    monkeypatch.setattr(Movie, "write", stalled)
    with Recorder(tmp_path / "a.mp4", 30, 96, 64, {}) as recorder:
        recorder.wait_open(60)
        began = time.monotonic()
        for n in range(200):  # the encoder takes none of them
            recorder.put(numbered(n), 7000 + n)
        took = time.monotonic() - began
        assert recorder.dropped == 200 - 45  # 1.5 s fit
        go.set()
        wait_for(recorder, 45)
        recorder.put(numbered(240), 7240)
    assert took < 20  # waiting for the encoder would be far more
    assert recorder.frames + recorder.dropped == 201
    shown = decode(tmp_path / "a.mp4")
    assert [number_in(p) for _, p in shown] == [*range(45), 240]
    assert [t for t, _ in shown] == pytest.approx([n / 30 for n in [*range(45), 240]], abs=1e-6)


def test_close_does_not_wait_for_all_that_a_slow_encoder_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Movie.write

    def slow(movie: Movie, pixels: Pixels, pts: int) -> int:
        time.sleep(0.1)
        return write(movie, pixels, pts)

    monkeypatch.setattr(Movie, "write", slow)
    monkeypatch.setattr(module, "_CLOSE_S", 0.5)
    recorder = Recorder(tmp_path / "a.mp4", 30, 96, 64, {})
    recorder.wait_open(60)
    for n in range(40):  # 4 seconds' work
        recorder.put(numbered(n), n)
    began = time.monotonic()
    recorder.close()
    assert time.monotonic() - began < 3
    assert CLOSE_S + JOIN_S <= 2
    assert recorder.failed is None
    assert recorder.frames + recorder.dropped == 40
    assert 0 < recorder.frames < 40
    assert len(decode(tmp_path / "a.mp4")) == recorder.frames


def test_close_gives_up_on_an_encoder_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(Movie, "write", lambda *_: int(go.wait(120)))
    monkeypatch.setattr(module, "_CLOSE_S", 0.2)
    monkeypatch.setattr(module, "_JOIN_S", 0.1)
    recorder = Recorder(tmp_path / "a.mp4", 30, 96, 64, {})
    recorder.wait_open(60)
    recorder.put(flat((1, 2, 3)), 0)
    began = time.monotonic()
    recorder.close()
    assert time.monotonic() - began < 20  # it would be 120
    assert recorder.failed is not None
    assert "did not finish" in recorder.failed
    go.set()


def test_close_twice_is_close_once_and_put_after_it_does_nothing(tmp_path: Path) -> None:
    recorder = record(tmp_path / "a.mp4", 5)
    size = recorder.path.stat().st_size
    recorder.close()
    recorder.put(numbered(6), 6)
    assert (recorder.frames, recorder.dropped) == (5, 0)
    assert recorder.path.stat().st_size == size


POLLED = """
import sys, time
from pathlib import Path
from lwlive.checkpoint import Size
from lwlive.stage.outputs.takes import Takes
takes = Takes(Path(), None, 30.0, Size(64, 64), print)
assert "av" not in sys.modules
takes.poll(0.0)
patience = time.monotonic() + 60
while "av" not in sys.modules:
    assert time.monotonic() < patience
    time.sleep(0.01)
takes.close()
"""


def test_a_show_that_does_not_record_yet_loads_what_recording_needs(tmp_path: Path) -> None:
    """Loading it stops every thread for a tenth of a second: that is not for mid-show."""
    subprocess.run([sys.executable, "-c", POLLED], check=True, cwd=tmp_path, timeout=120)
    assert not list(tmp_path.iterdir())


CHILD = """
import sys, time
from pathlib import Path
from tests_record import numbered, wait_for
from lwlive.stage.outputs.recorder import Recorder
recorder = Recorder(Path(sys.argv[1]), 30, 96, 64, {})
for n in range(160):
    recorder.put(numbered(n), n)
    wait_for(recorder, n + 1)
print(recorder.frames, flush=True)
time.sleep(60)
"""


def test_a_killed_process_leaves_all_but_the_last_two_seconds(tmp_path: Path) -> None:
    source = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})" + CHILD.replace(
        "tests_record", Path(__file__).stem
    )
    child = subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path / "a.mp4")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        put = int(child.stdout.readline())
        child.kill()
    child.wait()
    assert put == 160
    numbers = [number_in(p) for _, p in decode(tmp_path / "a.mp4")]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= put - 2 * 30


def test_a_full_disk_ends_the_recording_with_a_sentence_not_the_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Movie.write

    def filling(movie: Movie, pixels: Pixels, pts: int) -> int:
        if pts == 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(movie, pixels, pts)

    monkeypatch.setattr(Movie, "write", filling)
    with Recorder(tmp_path / "a.mp4", 30, 96, 64, {}) as recorder:
        recorder.wait_open(60)
        for n in range(60):
            recorder.put(numbered(n), n)
            wait_for(recorder, min(n + 1, 40))
    assert recorder.failed is not None
    assert "disk is full" in recorder.failed
    assert "a.mp4" in recorder.failed
    assert recorder.frames == 40
    assert [number_in(p) for _, p in decode(tmp_path / "a.mp4")] == list(range(40))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_disk_that_is_full_from_the_start_is_a_sentence() -> None:
    with Recorder(Path("/dev/full"), 30, 96, 64, {}) as recorder:
        with pytest.raises(RecordError, match="disk is full"):
            recorder.wait_open(60)
        recorder.put(numbered(0), 0)
    assert (recorder.frames, recorder.dropped) == (0, 0)


def test_an_encoder_error_ends_the_recording_not_the_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("the card is gone")

    monkeypatch.setattr(Movie, "write", broken)
    with Recorder(tmp_path / "a.mp4", 30, 96, 64, {}) as recorder:
        for n in range(10):
            recorder.put(numbered(n), n)
    assert recorder.failed is not None
    assert "the card is gone" in recorder.failed


def test_no_encoder_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = replace(CODECS["h264"], encoders=(Encoder("no_such_encoder"),))
    monkeypatch.setitem(CODECS, "h264", none)
    with (
        Recorder(tmp_path / "a.mp4", 30, 96, 64, {}) as recorder,
        pytest.raises(RecordError, match=r"no H\.264 encoder .*96x64.*no_such_encoder"),
    ):
        recorder.wait_open(60)


def test_an_encoder_that_does_not_open_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = Encoder("libx264", options={"preset": "veryfast", "tune": "zerolatency"})
    first = Encoder("libx264", options={"preset": "no such preset"})
    monkeypatch.setitem(CODECS, "h264", replace(CODECS["h264"], encoders=(first, last)))
    recorder = record(tmp_path / "a.mp4", 3)
    assert (recorder.encoder, recorder.frames) == ("libx264", 3)


def test_a_path_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    for path, told in (
        (tmp_path / "nowhere" / "a.mp4", r"no folder .*nowhere"),
        (tmp_path, "cannot record to"),
    ):
        with Recorder(path, 30, 96, 64, {}) as recorder:
            recorder.put(numbered(0), 0)
            with pytest.raises(RecordError, match=told):
                recorder.wait_open(60)
            recorder.put(numbered(1), 1)
        assert recorder.frames == 0


def test_what_is_put_while_the_disk_has_not_answered_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def slow(path: Path) -> Path:
        assert answers.wait(60)
        return claimed(path)

    monkeypatch.setattr(module, "claimed", slow)
    begun = time.thread_time()
    with Recorder(tmp_path / "a.mp4", 30, 96, 64, {}, fresh=True) as recorder:
        for n in range(40):
            recorder.put(numbered(n), n)
        assert not recorder.opened
        assert time.thread_time() - begun < 5
        answers.set()
        wait_for(recorder, 40)
    assert (recorder.frames, recorder.dropped) == (40, 0)
    assert [number_in(p) for _, p in decode(recorder.path)] == list(range(40))


def test_no_memory_for_a_recording_is_a_sentence_and_the_show_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Movie, "__init__", none)
    with Recorder(tmp_path / "a.mp4", 30, 96, 64, {}) as recorder:
        with pytest.raises(RecordError, match="memory"):
            recorder.wait_open(60)
        recorder.put(numbered(0), 0)
    assert recorder.frames == 0


def test_a_picture_of_another_size_ends_the_recording_with_what_it_has(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.mp4", 30, 96, 64, {}) as recorder:
        recorder.put(flat((1, 2, 3)), 0)
        recorder.put(flat((1, 2, 3), 128, 128), 1)
        recorder.put(flat((1, 2, 3)), 2)
    assert recorder.failed is not None
    assert "96x64" in recorder.failed
    assert len(decode(tmp_path / "a.mp4")) == 1


def test_a_tick_put_twice_is_counted_and_not_recorded(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.mp4", 30, 96, 64, {}) as recorder:
        for n in (5, 5, 4, 6):
            recorder.put(flat((1, 2, 3)), n)
    assert (recorder.frames, recorder.dropped) == (2, 2)


def test_names_that_look_like_addresses_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "20-15 äöü 100%.mp4" if sys.platform == "win32" else "20:15 äöü 100%.mp4"
    assert record(Path(name), 3).failed is None
    assert len(decode(tmp_path / name)) == 3


def test_a_name_that_is_claimed_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / stamped(datetime(2026, 2, 3, 4, 5, 6))
    names: list[str] = []
    together = [threading.Thread(target=lambda: names.append(claimed(path).name)) for _ in range(3)]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert free(path).name == "lwlive-20260203-040506-4.mp4"
    assert set(names) == {f"lwlive-20260203-040506{tail}.mp4" for tail in ("", "-2", "-3")}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own there")
def test_a_name_that_leads_nowhere_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "show.mp4"
    path.symlink_to(tmp_path / "a disk that is gone" / "show.mp4")
    assert free(path).name == "show-2.mp4"
    assert claimed(path).name == "show-2.mp4"


def test_the_module_brings_in_neither_av_nor_torch() -> None:
    source = "import sys, lwlive.stage.outputs.recorder; print({'av', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert result.stdout.strip() == "set()"
