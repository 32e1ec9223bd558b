"""Recordings in every codec, cut into files, as other programs read them."""

import json
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import FakeRecorder
from feeds import numbered as said_picture
from test_recorder import COLOURS, flat, wait_for
from test_show import Run, run

from lwlive.cli import destinations
from lwlive.commands import Toggle
from lwlive.config import Config
from lwlive.encoders import CODECS
from lwlive.params import ControlError
from lwlive.stage.outputs.recorder import Recorder

__all__ = ["run"]  # a fixture


def probed(path: Path) -> dict[str, Any]:
    """What ffprobe says of the pictures, and which of them are key frames."""
    fields = "stream=codec_name,codec_tag_string,r_frame_rate,duration:packet=flags"
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", fields]
    done = subprocess.run([*command, "-of", "json", str(path)], capture_output=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["hevc", "prores", "mjpeg"])
def test_another_program_reads_every_frame_in_its_colours(tmp_path: Path, codec: str) -> None:
    path = tmp_path / f"a{CODECS[codec].suffix}"
    with Recorder(path, 30, 96, 64, {"title": "a walk"}, codec=codec) as recorder:
        recorder.wait_open(60)
        for n in range(36):
            recorder.put(flat(COLOURS[n // 6]), n)
            wait_for(recorder, n + 1)
    assert recorder.failed is None
    told = probed(path)
    stream = told["streams"][0]
    tags = {"hevc": "hvc1", "prores": "apcn", "mjpeg": "jpeg"}
    assert (stream["codec_name"], stream["codec_tag_string"]) == (codec, tags[codec])
    assert stream["r_frame_rate"] == "30/1"
    assert float(stream["duration"]) == pytest.approx(36 / 30, abs=0.001)
    keys = ["K" in packet["flags"] for packet in told["packets"]]
    assert len(keys) == 36
    assert keys[0]
    assert all(keys) == (codec != "hevc")
    matrix = [] if codec == "mjpeg" else ["-vf", "scale=in_color_matrix=bt709"]
    raw = subprocess.run(
        [
            *f"ffmpeg -v error -i {path}".split(),
            *matrix,
            *["-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        ],
        capture_output=True,
        check=True,
    )
    frames = np.frombuffer(raw.stdout, np.uint8).reshape(36, 64, 96, 3)
    for n, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - COLOURS[n // 6]).max() <= 3, n
    assert path.read_bytes().index(b"moov") < 64  # its length is in front


def test_a_codec_that_quicktime_keeps_wants_such_a_name(tmp_path: Path) -> None:
    for codec, name, told in (
        ("prores", "a.mp4", "such as 'a.mov'"),
        ("mjpeg", "a.mkv", "such as 'a.mov'"),
        ("hevc", "a.mp4", None),
        ("prores", "a.MOV", None),
    ):
        config = Config(record=tmp_path / name, folder=tmp_path, record_codec=codec)
        if told is None:
            destinations.check(config)
            continue
        with pytest.raises(ControlError, match=f"--record-codec {codec} .*{told}"):
            destinations.check(config)


def test_a_recording_begun_by_a_key_has_its_codec_and_its_suffix(run: Run) -> None:
    run.key(5, Toggle("record"))
    run.play(2, record_codec="prores")
    (recorder,) = run.recorders
    assert isinstance(recorder, FakeRecorder)
    assert recorder.codec == "prores"
    assert recorder.path.suffix == ".mov"


def test_a_long_recording_is_a_row_of_files_with_every_picture_once(run: Run) -> None:
    run.play(20, record=run.folder / "night.mp4", record_minutes=0.1)
    numbers = [one.numbers for one in run.recorders]
    assert [len(one) for one in numbers] == [180, 180, 180, 60]  # six seconds of 30 frames
    joined = [number for one in numbers for number in one]
    assert joined == list(range(joined[0], joined[0] + 600))
    assert [one.fresh for one in run.recorders] == [False, True, True, True]
    assert all(one.path == run.folder / "night.mp4" for one in run.recorders)
    assert all(one.closed for one in run.recorders)
    assert sum("the next file begins" in text for text in run.screen.said) >= 1


@pytest.mark.slow
def test_the_files_of_a_row_have_names_of_their_own_and_join_without_a_gap(
    tmp_path: Path,
) -> None:
    from lwlive.checkpoint import Size
    from lwlive.stage.outputs.takes import Takes
    from lwlive.stage.parts import Picture

    said: list[str] = []
    takes = Takes(tmp_path, tmp_path / "a.mp4", 30, Size(64, 64), said.append, minutes=1 / 60)
    shown: Any = None
    for tick in range(75):
        params = SimpleNamespace(record=True, prompt="x")
        status: Any = SimpleNamespace(params=params, now=10 + tick / 30)
        takes.put(Picture(said_picture(tick), tick, 1.0, shown, status))
        recorder = takes._recorder
        assert recorder is not None
        wait_for(recorder, tick % 30 + 1)
    takes.close()
    names = ["a.mp4", "a-2.mp4", "a-3.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    lengths = [len(probed(tmp_path / name)["packets"]) for name in names]
    assert lengths == [30, 30, 15]


def test_without_a_thread_to_be_had_a_recording_is_closed_as_soon_as_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lwlive.checkpoint import Size
    from lwlive.params import Params
    from lwlive.stage.outputs.takes import Takes

    def start(thread: threading.Thread) -> None:
        if refuses and thread.name == "closing":
            raise RuntimeError("can't start new thread")
        real(thread)

    real, refuses, said = threading.Thread.start, True, list[str]()
    monkeypatch.setattr(threading.Thread, "start", start)
    takes = Takes(tmp_path, None, 30, Size(64, 64), said.append)
    status: Any = SimpleNamespace(params=Params(record=True), now=0.0)

    def put(tick: int, record: bool) -> None:
        status.params, status.now = Params(record=record), float(tick)
        picture: Any = SimpleNamespace(
            pixels=np.zeros((64, 64, 3), np.uint8), tick=tick, status=status
        )
        takes.put(picture)

    for tick in range(5):
        put(tick, True)
    recorder = takes._recorder
    assert recorder is not None
    put(5, False)
    assert any("can't start new thread" in sentence for sentence in said)
    refuses = False
    put(6, False)
    assert takes._closing[0][1].ident is not None
    takes.close()
    assert recorder.failed is None
    assert takes.summary() is not None
    assert takes.summary()["frames"] == 5  # type: ignore[index]
