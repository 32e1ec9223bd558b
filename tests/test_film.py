"""Renders end to end on a small checkpoint: frames, movies, resumption, blends, pictures, sound."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import diffusers
import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from lwlive import hub
from lwlive.checkpoint import ModelError, Size
from lwlive.cli import render
from lwlive.encoders import unhurried
from lwlive.engine.keyframe import Cond, Keyframe, noise_of
from lwlive.movie import SOUND_RATE, write_movie
from lwlive.render import sound
from lwlive.render.plan import Plan
from lwlive.render.studio import Studio

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint."""
    scheduler = diffusers.DDIMScheduler(**BETAS, clip_sample=False, timestep_spacing="trailing")
    return tiny.folder(tmp_path_factory.mktemp("tiny"), scheduler)


class Room:
    """A folder to render into."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model

    def words(self, text: str, **more: Any) -> list[str]:
        """The command line; `more` are flags whose values hold spaces."""
        flags = [f"--{k}={v}" for k, v in more.items()]
        base = ["--model", str(self.model), "--folder", str(self.folder), "--batch", "3"]
        return [*base, *text.split(), *flags]

    def render(self, text: str, **more: Any) -> int:
        """Run the command."""
        return render.main(self.words(text, **more))

    def frames(self, name: str) -> list[np.ndarray]:
        """Frames on disk."""
        paths = sorted((self.folder / name).glob("frame*"))
        return [np.asarray(Image.open(path)).astype(int) for path in paths]

    def bytes(self, name: str) -> dict[str, bytes]:
        """Frame files."""
        return {p.name: p.read_bytes() for p in (self.folder / name).glob("frame*")}

    def studio(self, text: str, **more: Any) -> Studio:
        """The studio of a command line."""
        return Studio(render.parse(self.words(text, **more))[0])


@pytest.fixture
def room(tmp_path: Path, model: Path) -> Room:
    """A folder of its own."""
    return Room(tmp_path, model)


def shown(path: Path) -> list[np.ndarray]:
    """The pictures of a movie."""
    with av.open(str(path)) as movie:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in movie.decode(video=0)]


def length_s(stream: av.VideoStream | av.AudioStream) -> float:
    assert stream.duration is not None
    assert stream.time_base is not None
    return float(stream.duration * stream.time_base)


def change(frames: list[np.ndarray]) -> list[float]:
    """RMS change from each frame to the next."""
    return [float(np.sqrt(np.mean((b - a) ** 2))) for a, b in pairwise(frames)]


def test_a_walk_gives_exactly_its_frames_and_a_movie_of_them(room: Room) -> None:
    assert room.render("--name w --num-steps 5 --max-frames 13 --size 72x64 --fps 12.5") == 0
    frames = room.frames("w")
    assert len(frames) == 13
    assert frames[0].shape == (64, 72, 3)
    assert min(change(frames)) > 0.2 * max(change(frames))  # no joint is shown twice
    movie_frames = shown(room.folder / "w.mp4")
    with av.open(str(room.folder / "w.mp4")) as movie:
        stream = movie.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 12.5
        assert json.loads(movie.metadata["comment"])["settings"]["frames"] == 13
    assert len(movie_frames) == 13
    assert all(np.abs(a - b).mean() < 12 for a, b in zip(movie_frames, frames, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("scheduler", "steps"), [("lms", 50), ("ddim", 4), ("euler", 20)])
def test_depth_zero_equals_the_stock_pipeline(room: Room, scheduler: str, steps: int) -> None:
    studio = room.studio(
        f"--name w --seed 7 --steps {steps} --guidance 5 --scheduler {scheduler} --size 64 "
        "--num-steps 4 --max-frames 5 --pace 0 --prompt hello"
    )
    pipe = tiny.pipeline(studio.model.modules.scheduler)
    for n, index in ((0, 0), (4, 1)):
        theirs = pipe(
            prompt="hello",
            latents=noise_of(7, index, (4, 8, 8), "cpu")[:1],
            num_inference_steps=steps,
            guidance_scale=5.0,
            output_type="np",
        ).images[0]
        ours = studio.frames([n])[0]
        assert np.abs(ours / 255 - theirs).max() <= 0.5 / 255 + 2e-3
        assert theirs.std() > 0.01


@pytest.mark.slow
def test_a_thousand_steps_and_noisy_ones_are_rendered(room: Room) -> None:
    assert len(room.studio("--steps 1000 --scheduler ddim --pace 0").frames([0])) == 1
    noisy = "--steps 12 --scheduler ddim --max-frames 4 --num-steps 3 --eta"
    one, other = (room.studio(f"{noisy} {eta}").frames([1])[0].astype(int) for eta in (0, 1))
    assert np.abs(one - other).max() > 2
    assert len(room.studio("--steps 12 --scheduler euler-ancestral --pace 0").frames([3])) == 1


def test_a_scheduler_that_is_not_there_gets_a_sentence(room: Room) -> None:
    with pytest.raises(ModelError, match="did you mean lms"):
        room.studio("--scheduler lmss")
    with pytest.raises(ModelError, match="another kind"):
        room.studio("--scheduler FlowMatchHeunDiscreteScheduler")
    with pytest.raises(ModelError, match="has no eta"):
        room.studio("--scheduler lms --eta 0.5")


def test_a_scheduler_is_spaced_as_in_a_show_for_as_few_steps(room: Room) -> None:
    config = json.loads((room.model / "scheduler" / "scheduler_config.json").read_text())
    other = shutil.copytree(room.model, room.folder / "leading")
    config["timestep_spacing"] = "leading"
    (other / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    for steps, spacing in ((8, "trailing"), (9, "leading")):
        words = f"--scheduler EulerDiscreteScheduler --steps {steps} --model {other}"
        scheduler = room.studio(words).model.modules.scheduler
        assert type(scheduler) is diffusers.EulerDiscreteScheduler
        assert scheduler.config.timestep_spacing == spacing


def test_a_second_run_goes_on_after_the_last_whole_frame_with_the_same_bytes(room: Room) -> None:
    walk = "--num-steps 6 --depth 0.5 --steps 4 --format png"
    assert room.render(f"--name whole --max-frames 14 {walk}") == 0
    assert room.render(f"--name parts --max-frames 5 {walk} --output frames") == 0
    (room.folder / "parts" / "frame000002.png").unlink()
    assert room.render(f"--name parts --max-frames 14 {walk}") == 0
    assert room.bytes("whole") == room.bytes("parts")


@pytest.mark.slow
def test_the_same_settings_make_the_same_movie_however_it_came_about(room: Room) -> None:
    walk = "--name w --num-steps 6 --depth 0.5 --steps 4 --max-frames 14 --size 72x64"
    assert room.render(walk) == 0
    first = (room.folder / "w.mp4").read_bytes()
    for more in ("", "--overwrite", "", "--overwrite --workers 2"):
        (room.folder / "w.mp4").unlink()
        assert room.render(f"{walk} {more}") == 0
        assert (room.folder / "w.mp4").read_bytes() == first


@pytest.mark.slow
def test_a_render_begun_anew_leaves_no_movie_of_another(room: Room) -> None:
    assert room.render("--name w --max-frames 2") == 0
    (room.folder / ".w.mp4.77").write_bytes(b"half")  # of one that was killed
    assert room.render("--name w --max-frames 3 --output frames --overwrite") == 0
    assert [path.name for path in room.folder.iterdir()] == ["w"]


@pytest.mark.slow
def test_a_model_is_found_by_the_names_that_a_show_takes(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hub, "cached", {"stabilityai/sd-turbo": room.model}.get)
    walk = ["--offline", "--folder", str(room.folder), "--max-frames", "2", "--size", "64"]
    for model in ("sd-turbo", "stabilityai/sd-turbo"):
        assert render.main([*walk, "--model", model, "--name", "turbo", "--overwrite"]) == 0
    assert room.render("--name own --max-frames 2 --size 64") == 0
    for ours, theirs in zip(room.frames("turbo"), room.frames("own"), strict=True):
        assert (ours == theirs).all()
    for model, sentence in (
        ("sdxl-turbo", "fetch it with `lwlive models pull sdxl-turbo`"),
        ("nowhere.safetensors", "there is no file nowhere.safetensors"),
    ):
        assert render.main([*walk, "--model", model]) == 1
        assert sentence in caplog.text


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_with_the_same_bytes(room: Room) -> None:
    walk = "--num-steps 40 --max-frames 120 --output frames --steps 8"
    program = [sys.executable, "-m", "lwlive", "render"]
    for after in (1, 40):
        child = subprocess.Popen(
            [*program, *room.words(f"--name killed {walk}")], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 500
        while len(room.bytes("killed")) < after and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.kill()
        child.wait()
    assert after <= len(room.bytes("killed")) <= 120
    assert room.render(f"--name killed {walk}") == 0
    assert room.render(f"--name whole {walk}") == 0
    assert room.bytes("killed") == room.bytes("whole")
    assert {p.name for p in (room.folder / "killed").iterdir() if p.name.startswith(".")} == set()


def test_a_movie_alone_leaves_no_frames(room: Room) -> None:
    assert room.render("--name w --max-frames 3 --output movie") == 0
    assert [path.name for path in room.folder.iterdir()] == ["w.mp4"]


def test_a_loop_ends_where_it_begins_to_the_pixel(room: Room) -> None:
    prompts = "--prompt a --prompt bbbb --prompt c"
    for more in ("--loop 3 --num-steps 4", f"{prompts} --loop 3 --num-steps 4"):
        assert room.render(f"--name l --max-frames 14 --overwrite --output frames {more}") == 0
        files = list(dict(sorted(room.bytes("l").items())).values())
        assert files[12:] == files[:2]
        assert len(set(files[:12])) == 12
        frames = room.frames("l")
        assert max(change(frames)) < 5 * np.median(change(frames))


@pytest.mark.slow
def test_a_blend_passes_through_its_keyframes_and_nowhere_jumps(room: Room) -> None:
    blend = "--prompt a --prompt bbbb --prompt c --steps 4 --depth 0.5 --guidance 3 --num-steps 6"
    blend += " --crossfeed 0.4 --crossfeed-range 0.7 --crossfeed-decay 0.5 --damping 0.5"
    studio = room.studio(blend)
    assert studio.settings.frames == 12
    frames = [f.astype(int) for f in studio.frames(list(range(12)))]
    for n, index, prompt in ((0, 0, "a"), (6, 1, "bbbb"), (11, 2, "c")):
        plain = room.studio(f"--steps 4 --guidance 3 --prompt {prompt} --num-steps 1 --pace 0")
        assert np.abs(plain.frames([index])[0].astype(int) - frames[n]).max() <= 1
    assert max(change(frames)) < 6 * np.median(change(frames))
    assert min(change(frames)) > 0


def test_neighbouring_transitions_share_their_keyframe(room: Room) -> None:
    studio = room.studio("--prompt a --prompt b --prompt c --steps 4 --depth 0.5 --num-steps 6")
    real = studio.sampler._trajectory
    made: list[Keyframe] = []

    def counted(keyframe: Keyframe, *rest: Any) -> torch.Tensor:
        made.append(keyframe)
        return real(keyframe, *rest)

    studio.sampler._trajectory = counted  # type: ignore[method-assign,assignment] # counts
    studio.frames(list(range(12)))
    assert len(made) == 3


@pytest.mark.slow
def test_crossfeed_has_its_effect_within_its_range(room: Room) -> None:
    def middle(more: str) -> np.ndarray:
        blend = "--prompt a --prompt bbbb --steps 6 --depth 0.2 --guidance 4 --num-steps 8"
        return room.studio(f"{blend} --pace 0 {more}").frames([4])[0].astype(int)

    plain, fed = middle(""), middle("--crossfeed 1")
    assert np.abs(middle("--crossfeed 1 --crossfeed-range 0") - plain).max() <= 1
    assert np.abs(fed - plain).max() > 3


def test_a_budget_samples_where_most_changes_and_keeps_both_ends(room: Room) -> None:
    blend = "--prompt a --prompt bbbb --steps 3 --depth 0.4 --num-steps 16"
    full, placed = room.studio(f"{blend} --pace 0"), room.studio(f"{blend} --budget 5")
    asked: list[int] = []
    real = placed.model.denoise

    def counted(x: torch.Tensor, timestep: float, cond: Cond) -> torch.Tensor:
        asked.append(len(x))
        return real(x, timestep, cond)

    placed.model.denoise = counted  # type: ignore[method-assign] # counts and does the same
    numbers = list(range(16))
    few, all_of_them = placed.frames(numbers), full.frames(numbers)
    assert sum(asked) <= 5 * 2 + 2 * 3
    for n in (0, 15):
        assert np.abs(few[n].astype(int) - all_of_them[n]).max() <= 1
    gaps = change([f.astype(int) for f in few])
    assert max(gaps) < 3 * np.median(gaps)


@pytest.mark.slow
def test_a_time_budget_is_measured_once_and_kept(room: Room) -> None:
    blend = "--name b --prompt a --prompt bb --num-steps 6 --budget-seconds 2 --output frames"
    assert room.render(blend) == 0
    stored = json.loads((room.folder / "b" / "settings.json").read_text())
    assert stored["settings"]["render"]["budget"] >= 2
    before = room.bytes("b")
    (room.folder / "b" / "frame000003.jpg").unlink()
    assert room.render(blend) == 0
    assert room.bytes("b") == before


def photo(path: Path, size: tuple[int, int] = (64, 64)) -> Path:
    """A picture with edges and colours."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = np.stack([x * 3 % 256, y * 2 % 256, (x // 8 + y // 8) % 2 * 200], 2).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_a_picture_is_hit_within_the_autoencoders_own_error(room: Room, scheduler: str) -> None:
    file = photo(room.folder / "p.png")
    studio = room.studio(
        f"--prompt a --picture {file} --prompt c --depth 0.5 --steps 6 --num-steps 8 "
        f"--scheduler {scheduler}"
    )
    from lwlive.engine.latents import encoded
    from lwlive.render import picture

    clean = encoded(studio.model.modules, picture.read(file, Size(64, 64)))
    there = studio.sampler.pixels(clean[None])[0].astype(int)
    frames = [f.astype(int) for f in studio.frames(list(range(16)))]
    assert np.abs(frames[8] - there).max() <= 1
    assert all(np.abs(frames[n] - there).max() > 3 for n in (4, 12))
    assert max(change(frames)) < 6 * np.median(change(frames))  # it comes and goes, it never jumps


def test_outside_the_mask_nothing_moves(room: Room) -> None:
    file = photo(room.folder / "p.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 24:48] = 255
    Image.fromarray(mask).save(room.folder / "m.png")
    words = f"--picture {file} --mask {room.folder / 'm.png'} --prompt a --num-steps 4 --steps 4"
    assert room.render(f"--name m --max-frames 6 --format png --output frames {words}") == 0
    frames, still = room.frames("m"), np.asarray(Image.open(file)).astype(int)
    for frame in frames:
        assert (frame[mask == 0] == still[mask == 0]).all()
    assert all(np.abs(a - b)[mask > 0].max() > 0 for a, b in pairwise(frames))


@pytest.mark.slow
def test_a_checkpoint_for_inpainting_sees_mask_and_picture(tmp_path: Path) -> None:
    pipe = tiny.pipeline(family="inpaint")
    pipe.save_pretrained(tmp_path / "nine")
    room = Room(tmp_path, tmp_path / "nine")
    file = photo(tmp_path / "p.png")
    mask = np.full((64, 64), 255, np.uint8)
    mask[32:] = 0
    Image.fromarray(mask).save(tmp_path / "m.png")
    words = f"--picture {file} --prompt a --steps 3 --guidance 1 --size 64 --max-frames 2"
    seen: list[torch.Tensor] = []
    studio = room.studio(f"{words} --mask {tmp_path / 'm.png'}")
    unet = studio.model.modules.denoiser.unet
    unet.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    found = studio.frames([0])[0]
    assert seen[0].shape[1] == 9
    assert seen[0][0, 4, :, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert (found[32:] == np.asarray(Image.open(file))[32:]).all()
    assert room.render("--name plain --prompt a --steps 2 --max-frames 2 --size 64") == 0


def drums(path: Path, seconds: float = 4.0) -> Path:
    """A hum with a clap at every whole second but the first."""
    rate = 22_050
    t = np.arange(int(seconds * rate)) / rate
    sound = 0.2 * np.sin(2 * np.pi * 220 * t)
    for second in range(1, int(seconds)):
        noise = np.random.default_rng(second).normal(size=rate // 20)
        sound[second * rate : second * rate + rate // 20] += 0.5 * noise
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((sound.clip(-1, 1) * 32000).astype("<i2").tobytes())
    return path


@pytest.mark.slow
def test_the_walk_goes_with_the_drums_and_the_movie_carries_them(room: Room) -> None:
    file = drums(room.folder / "d.wav")
    words = f"--name a --audio {file} --num-steps 20 --pace 0"
    assert room.render(words) == 0
    with av.open(str(room.folder / "a.mp4")) as movie:
        video, audio = movie.streams.video[0], movie.streams.audio[0]
        assert video.frames == 40
        lengths = [length_s(s) for s in (video, audio)]
    assert abs(lengths[0] - lengths[1]) <= 1 / 10
    plan = room.studio(words).places
    assert isinstance(plan, Plan)
    steps = np.diff(np.array([plan.segment(n)[1] for n in range(20)]))
    assert steps.argmax() == 10  # the clap at one second
    assert steps.min() > 0


@pytest.mark.parametrize(("fps", "count"), [(10, 40), (7, 11), (23.976, 30), (60, 90), (1, 9)])
def test_the_sound_of_a_movie_is_as_long_as_its_pictures(
    tmp_path: Path, fps: float, count: int
) -> None:
    """Cut short where it is longer, followed by silence where it is shorter."""
    pictures = [np.full((16, 16, 3), (90, 0, 0), np.uint8)] * count
    played = sound.blocks(drums(tmp_path / "d.wav"), SOUND_RATE, 2)
    write_movie(tmp_path / "m.mp4", pictures, fps, unhurried(20), {}, sound=played)
    with av.open(str(tmp_path / "m.mp4")) as movie:
        video, audio = movie.streams.video[0], movie.streams.audio[0]
        lengths = [length_s(s) for s in (video, audio)]
        assert video.frames == count
    assert abs(lengths[0] - count / fps) < 1e-3
    assert abs(lengths[0] - lengths[1]) <= 1 / fps
    loud = heard(tmp_path / "m.mp4")
    assert loud[: round(min(lengths[0], 4.0) * 48_000) - 2048].std() > 0.1
    assert np.abs(loud[round(4.1 * 48_000) :]).max(initial=0) < 1e-3


def heard(path: Path) -> np.ndarray:
    """The sound of a movie, its left side."""
    with av.open(str(path)) as movie:
        return np.concatenate([block.to_ndarray()[0] for block in movie.decode(audio=0)])


@pytest.mark.slow
def test_sizes_are_multiples_of_eight_and_decoded_in_tiles_too(room: Room) -> None:
    for words in ("--size 88x72", "--size 136x64 --tiled"):
        frame = room.studio(f"{words} --max-frames 1").frames([0])[0]
        width, height = words.split()[1].split("x")
        assert frame.shape == (int(height), int(width), 3)


@pytest.mark.slow
def test_the_same_frames_come_from_a_cluster_with_a_killed_worker(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'lwlive[ray]'")
    from lwlive.render import cluster

    class Mortal(cluster.Worker):
        """A worker that is killed in its second stretch, once."""

        def __init__(self, settings: dict[str, Any], cores: int) -> None:
            super().__init__(settings, cores)
            self.mark, self.stretches = room_mark, 0

        def files(self, stretch: list[list[int]]) -> list[tuple[int, bytes]]:
            self.stretches += 1
            if self.stretches == 2 and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
            return super().files(stretch)

    room_mark = room.folder / "killed"
    monkeypatch.setattr(cluster, "Worker", Mortal)
    monkeypatch.setattr(cluster, "CORES", 1)
    monkeypatch.setattr(cluster, "STRETCH", 1)
    walk = "--num-steps 10 --max-frames 24 --format png --output frames --depth 0.5 --steps 4"
    done = room.render(f"--name many --ray --workers 2 {walk}")
    if "timed out during startup" in caplog.text:
        pytest.skip("this machine is too busy for Ray, which gives itself 30 seconds to start")
    assert done == 0
    assert room_mark.exists()
    assert room.render(f"--name one {walk}") == 0
    many, one = room.frames("many"), room.frames("one")
    assert len(many) == len(one) == 24
    assert max(np.abs(a - b).max() for a, b in zip(many, one, strict=True)) <= 2
