"""A render's identity and its files: like goes on after like, whatever became of the disk."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from lwlive import files
from lwlive.cli import render
from lwlive.movie import Movie
from lwlive.render import work
from lwlive.render.frames import open_folder, place_of
from lwlive.render.identity import differences
from lwlive.render.picture import written
from lwlive.render.settings import RenderError, Settings, told
from lwlive.render.studio import Studio


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint."""
    return tiny.folder(tmp_path_factory.mktemp("tiny"))


def settings_of(model: Path, *more: str) -> Settings:
    """Settings as the command line makes them."""
    words = ["--model", str(model), "--max-frames", "4", "--num-steps", "4", *more]
    return render.parse(words)[0]


def stored(settings: Settings) -> dict[str, Any]:
    """As it is read from disk."""
    found: dict[str, Any] = json.loads(told(settings))["settings"]
    return found


def copy(model: Path, to: Path) -> Path:
    """The checkpoint elsewhere, of another time."""
    shutil.copytree(model, to)
    for path in to.rglob("*"):
        os.utime(path, (1e9, 1e9))
    return to


def test_a_copy_elsewhere_with_another_card_is_the_same_model(model: Path, tmp_path: Path) -> None:
    one = stored(settings_of(model))
    other = copy(model, tmp_path / "copy")
    (other / "README.md").write_text("A card.")
    (other / "preview.png").write_bytes(b"x")
    config = json.loads((other / "unet" / "config.json").read_text())
    config |= {"_diffusers_version": "9.9", "_name_or_path": "/elsewhere"}
    (other / "unet" / "config.json").write_text(json.dumps(config, indent=7))
    assert differences(one, stored(settings_of(other))) == []


def test_another_torch_and_processor_are_the_same_render(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = stored(settings_of(model))
    monkeypatch.setattr("torch.__version__", "99.0")
    monkeypatch.setattr("lwlive.engine.compiled.build._processor", lambda _: "another one")
    assert differences(one, stored(settings_of(model))) == []


PARTS = [
    ("unet/diffusion_pytorch_model.safetensors", "model"),
    ("text_encoder/model.safetensors", "model"),
    ("scheduler/scheduler_config.json", "model"),
    ("vae/diffusion_pytorch_model.safetensors", "decoder"),
]


@pytest.mark.parametrize(("file", "name"), PARTS)
def test_one_byte_of_what_makes_pictures_is_another_render(
    model: Path, tmp_path: Path, file: str, name: str
) -> None:
    one = stored(settings_of(model))
    other = copy(model, tmp_path / "copy")
    if file.endswith(".json"):
        config = json.loads((other / file).read_text())
        (other / file).write_text(json.dumps(config | {"beta_end": 0.5}))
    else:
        data = bytearray((other / file).read_bytes())
        data[-1] ^= 1
        (other / file).write_bytes(data)
    os.utime(other / file, (1e9, 1e9))
    found = differences(one, stored(settings_of(other)))
    assert len(found) == 1
    assert found[0].startswith(f"{name} was ")


# What decides the pictures and is compared as it is, and another value of it.
COMPARED: dict[str, Any] = {
    "scheduler": "euler",
    "prediction": "sample",
    "size": [8, 8],
    "device": "another",
    "precision": "another",
    "batch": 63,
    "again": True,
    "overrides": {"seed": 4},
}
# What is compared by its parts, by the weights it brings in, or not at all.
ELSEWHERE = {"model", "lora", "decoder", "weights", "params", "keys", "joints", "frames"}
ELSEWHERE |= {"render", "files", "routes", "per"}


def test_whatever_decides_the_pictures_is_compared(model: Path) -> None:
    one = stored(settings_of(model))
    assert set(one) == set(COMPARED) | ELSEWHERE
    for name, value in COMPARED.items():
        assert differences(one, one | {name: value}), name
    for name in one["weights"]:
        assert differences(one, one | {"weights": one["weights"] | {name: "another"}}), name
    for name in one["params"]:
        assert differences(one, one | {"params": one["params"] | {name: "another"}}), name


def test_another_prediction_is_another_render(model: Path) -> None:
    found = differences(
        stored(settings_of(model)), stored(settings_of(model, "--prediction", "sample"))
    )
    assert found == ["prediction was not given and is 'sample'"]


def test_pictures_count_by_what_is_in_them(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [written(rng.integers(0, 256, (8, 8, 3), np.uint8), "png", 90) for _ in range(2)]
    for name, data in (("a.png", pictures[0]), ("b.png", pictures[0]), ("c.png", pictures[1])):
        (tmp_path / name).write_bytes(data)
    words = ["--prompt", "x", "--depth", "0.5", "--steps", "4", "--picture"]
    a, b, c = (
        stored(settings_of(model, *words, str(tmp_path / f"{n}.png"))) for n in ("a", "b", "c")
    )
    assert differences(a, b) == []
    assert any("picture" in one for one in differences(a, c))


class Room:
    """A folder to render into."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.base = ["--model", str(model), "--folder", str(folder), "--name", "w", "--size", "64"]
        self.base += ["--max-frames", "6", "--num-steps", "4"]

    def render(self, *more: str) -> int:
        """Run the command."""
        return render.main([*self.base, *more])

    def bytes(self) -> dict[str, bytes]:
        """Frame files."""
        return {p.name: p.read_bytes() for p in sorted((self.folder / "w").glob("frame*"))}


@pytest.fixture
def room(tmp_path: Path, model: Path) -> Room:
    """A folder of its own."""
    return Room(tmp_path, model)


def spoil(path: Path, how: str) -> None:
    """As power cuts and other programs leave a file."""
    data = path.read_bytes()
    if how == "foreign":
        other = np.zeros((32, 32, 3), np.uint8)
        path.write_bytes(written(other, path.suffix[1:], 90))
    else:
        middle = len(data) // 3
        spoilt = {
            "empty": b"",
            "cut": data[: len(data) // 2],
            "zeros": bytes(len(data)),
            "text": b"x" * 100,
            "inside": data[:middle] + bytes(len(data) // 2) + data[middle + len(data) // 2 :],
        }
        path.write_bytes(spoilt[how])


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_spoilt_frame_is_made_again(room: Room, kind: str) -> None:
    assert room.render("--format", kind) == 0
    whole, first = room.bytes(), (room.folder / "w.mp4").read_bytes()
    hows = ["empty", "cut", "foreign", "zeros", "text", *(["inside"] if kind == "png" else [])]
    for n, how in enumerate(hows):
        spoil(room.folder / "w" / f"frame{n:06d}.{kind}", how)
    (room.folder / "w.mp4").unlink()
    assert room.render("--format", kind) == 0
    assert room.bytes() == whole
    assert (room.folder / "w.mp4").read_bytes() == first


@pytest.mark.parametrize("output", ["both", "movie"])
def test_a_finished_render_is_not_made_again_and_nothing_is_written(
    room: Room, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    assert room.render("--output", output) == 0

    def refused(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(files, "write", refused)  # as on a disk that cannot be written
    monkeypatch.setattr(files, "draft", refused)
    monkeypatch.setattr(work, "made_here", refused)
    monkeypatch.setattr("lwlive.render.settings.versions", lambda: {"torch": "99.0"})
    assert room.render("--output", output) == 0
    monkeypatch.undo()
    made = (room.folder / "w.mp4").read_bytes()
    assert room.render("--output", output, "--crf", "30") == 0
    assert (room.folder / "w.mp4").read_bytes() != made


def test_a_name_too_long_is_refused_before_any_frame_is_made(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(work, "run", lambda _: pytest.fail("it has begun"))
    for name in ("x" * 248, "ä" * 124, "x" * 255, "x" * 4000):
        assert render.main([*room.base, "--name", name]) == 1
        assert "too many for the files" in caplog.messages[-1]
    for name in (".", "..", "/"):
        assert render.main([*room.base, "--name", name]) == 1
        assert "no new folder" in caplog.messages[-1]
    assert list(room.folder.iterdir()) == []


@given(st.text(min_size=1, max_size=300))
def test_a_name_is_taken_or_told(tmp_path_factory: Any, name: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        place = place_of(folder, name)
    except RenderError as error:
        assert "--name" in str(error)  # noqa: PT017 - what is not refused is checked below
    else:
        longest = f".{place.name}.mp4.{2**22}"
        assert len(os.fsencode(longest)) <= 255


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from lwlive.cli import render
sys.exit(render.main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of files are Linux's")
@pytest.mark.parametrize(("limit", "file"), [(100, "settings.json"), (3500, "frame000000.png")])
def test_a_file_that_cannot_be_written_is_named(room: Room, limit: int, file: str) -> None:
    words = [sys.executable, "-c", LIMITED, str(limit), *room.base, "--format", "png"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert file in last
    assert "File too large" in last


def test_a_frame_is_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(number: int) -> None:
        sync(number)
        done.append("sync")

    def renamed(old: Path, new: Path) -> None:
        replace(old, new)
        done.append(Path(new).name)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    files.write(tmp_path / "a", b"x")
    assert done == ["sync", "a"]
    assert (tmp_path / "a").read_bytes() == b"x"


def test_settings_reach_the_disk_before_the_first_frame(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    write, names = files.write, files.settle_names

    def put(path: Path, data: bytes) -> None:
        write(path, data)
        done.append(path.name)

    monkeypatch.setattr(files, "write", put)

    def settled(folder: Path) -> None:
        names(folder)
        done.append("names")

    monkeypatch.setattr(files, "settle_names", settled)
    assert room.render("--output", "frames") == 0
    assert done[:3] == ["settings.json", "names", "frame000000.jpg"]


def test_a_render_without_memory_is_told(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Studio, "files", lambda *_: torch.empty(2**50))
    assert room.render("--batch", "3") == 1
    assert "no memory for frames of 64x64, 3 together" in caplog.messages[-1]
    assert room.render("--overwrite", "--batch", "3") == 1
    monkeypatch.undo()
    assert room.render("--batch", "3") == 0


def test_a_movie_that_fails_leaves_frames_and_names_itself(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Movie, "write", full)
    assert room.render() == 1
    assert caplog.messages[-1] == f"{room.folder / 'w.mp4'}: No space left on device"
    assert len(room.bytes()) == 6
    monkeypatch.undo()
    assert room.render() == 0


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["settings", "render", "keys", "params", "joints", "budget"]), x
            )
        ),
    )
)
def test_settings_of_somebody_else_are_told(tmp_path_factory: Any, model: Path, found: Any) -> None:
    folder = tmp_path_factory.mktemp("others")
    (folder / "settings.json").write_text(json.dumps(found))
    with pytest.raises(RenderError, match=r"settings\.json cannot be read"):
        open_folder(folder, SETTINGS.setdefault(model, settings_of(model)), False)


SETTINGS: dict[Path, Settings] = {}  # made once
