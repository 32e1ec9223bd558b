"""The command line: flags from the declarations, what wins over what, and how errors are told."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRecorder, FakeSupply

from lwlive import __version__, cli
from lwlive.checkpoint import ModelError, folder_of, own_values, size_of
from lwlive.params import SPECS, Config, Params
from lwlive.stage import takes
from lwlive.stage.rig import lone
from lwlive.stage.supply import EngineFailure

OTHER = {str: "gold rings", float: 0.5, int: 3, bool: True}  # allowed for all, default for none
FLAGS = [name for name in SPECS if SPECS[name].flag]


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint as far as the stage looks at it: 64 pixels, no weights."""
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "scheduler").mkdir()
    (folder / "vae").mkdir()
    (folder / "vae" / "config.json").write_text('{"_class_name": "AutoencoderTiny"}')
    (folder / "model_index.json").write_text(
        '{"unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["t", "CLIPTextModel"]}'
    )
    (folder / "unet" / "config.json").write_text('{"sample_size": 8}')
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    return folder


class Hall:
    """A machine with no screen, and an engine that needs no process."""

    def __init__(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.supply = FakeSupply()
        self.model = model

        class Recorder(FakeRecorder):
            made: list[FakeRecorder] = []  # noqa: RUF012 - the one list of this hall

        self.recorders = Recorder.made
        monkeypatch.setattr(takes, "Recorder", Recorder)
        monkeypatch.setattr(cli, "_supply", lambda *_: self.supply)
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        monkeypatch.chdir(model.parent)

    def perform(self, *flags: str) -> int:
        """Run `lwlive` with these flags; OSC on a free port unless they say otherwise."""
        return cli.main(["--model", str(self.model), "--fps", "240", "--osc-port", "0", *flags])


@pytest.fixture
def hall(model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Hall:
    caplog.set_level(logging.INFO)
    return Hall(model, monkeypatch)


# Flags


def test_without_flags_everything_is_as_declared():
    assert cli.parse([]) == (Config(), Params())


@pytest.mark.parametrize("name", FLAGS)
def test_every_live_parameter_is_a_flag_of_its_own_name(name: str):
    value = OTHER[SPECS[name].kind]
    words = [flag(name)] if value is True else [flag(name), str(value)]
    config, params = cli.parse(words)
    assert getattr(params, name) == value
    assert type(getattr(params, name)) is SPECS[name].kind
    assert params == Params(**{name: value})
    assert config == Config()


def test_switches_have_a_negative():
    config, params = cli.parse(
        ["--no-osc", "--no-compile", "--no-vsync", "--no-hold", "--headless"]
    )
    assert (config.osc, config.compile, config.vsync, config.headless) == (
        False,
        False,
        False,
        True,
    )
    assert params.hold is False


def test_record_is_a_file_and_not_the_live_switch():
    config, params = cli.parse(["--record", "a.mp4"])
    assert config.record == Path("a.mp4")
    assert params.record is False


def test_an_allow_list_may_be_repeated():
    config, _ = cli.parse(["--osc-allow", "10.0.0.1", "--osc-allow", "192.168.1.0/24"])
    assert config.osc_allow == ["10.0.0.1", "192.168.1.0/24"]


@pytest.mark.parametrize(
    "text", ["None", "null", "none", "", "{}", '{"a": 1}', "[1, 2]", "a, b", '"q"', "=x", "1", "-1"]
)
def test_a_prompt_is_taken_as_it_is_typed(text: str):
    assert cli.parse(["--prompt", text])[1].prompt == text
    assert cli.parse([f"--negative={text}"])[1].negative == text


def test_flags_beat_the_preset_and_the_preset_beats_the_defaults(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('prompt = "rings"\nspeed = 2.0\nhold = true\nseed = 7\n')
    _, params = cli.parse(["--preset", str(path), "--speed", "0.25", "--no-hold"])
    assert params == Params(prompt="rings", speed=0.25, hold=False, seed=7)


def test_a_preset_is_found_by_its_name_in_the_folder(tmp_path: Path):
    (tmp_path / "mine.toml").write_text("seed = 7\n")
    _, params = cli.parse(["--preset", "mine", "--folder", str(tmp_path)])
    assert params.seed == 7


def test_variables_of_the_users_shell_change_nothing(monkeypatch: pytest.MonkeyPatch):
    for name in (*SPECS, *Config.model_fields):
        for word in (name, name.upper(), f"LWLIVE_{name.upper()}"):
            monkeypatch.setenv(word, "7")
    assert cli.parse([]) == (Config(), Params())
    assert cli.parse(["--steps", "2"])[1] == Params(steps=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--speed", "9"], "speed takes a number from 0 to 4 keyframes/s, not 9"),
        (["--speed", "-1"], "speed takes a number from 0 to 4"),
        (["--speed", "nan"], "speed takes a number from 0 to 4"),
        (["--speed", "inf"], "speed takes a number from 0 to 4"),
        (["--speed", "fast"], "speed takes a number from 0 to 4 keyframes/s, not 'fast'"),
        (["--steps", "2.5"], "steps takes a whole number from 1 to 8, not '2.5'"),
        (["--seed", "1" * 6000], "seed takes a whole number of 0 or more"),
        (["--prompt", "x" * 501], "prompt takes text of up to 500 characters"),
        (["--prompt"], "--prompt: expected one argument"),
        (["--hold=maybe"], "--hold"),
        (["--sped", "1"], "--sped 1, did you mean --speed?"),
        (["--spee", "1"], "did you mean --speed?"),
        (["show"], "unrecognized arguments: show; see lwlive --help"),
        (["--fps", "0"], "--fps: "),
        (["--fps", "inf"], "--fps: "),
        (["--size", "big"], "--size: this takes pixels, 512 or 768x512"),
        (["--size", "512x"], "--size: this takes pixels"),
        (["--device", "gpu"], "--device: input should be 'auto', 'cpu', 'cuda' or 'mps'"),
        (["--duration", "0"], "--duration: input should be greater than 0"),
        (["--duration", "nan"], "--duration: "),
        (["--osc-port", "70000"], "--osc-port: "),
        (["--fit", "stretch"], "--fit: input should be 'fill', 'fit' or 'mirror'"),
        (["--preset", "nowhere/x.toml"], "cannot read the preset"),
        (["--preset", "no such"], "there is no preset 'no such'"),
        (["--folder", "nowhere"], "--folder: there is no folder nowhere"),
        (["--stats", "nowhere/s.json"], "--stats: there is no folder nowhere"),
    ],
    ids=lambda words: " ".join(words)[:30] if isinstance(words, list) else "",
)
def test_what_is_wrong_is_one_sentence_and_exit_code_one(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("lwlive: ")
    assert said in err
    assert len(err) < 300


# What is printed


@pytest.mark.parametrize(
    ("word", "holds"),
    [
        ("osc", ["/lwlive/speed", "/lwlive/fader/speed", "/lwlive/next", "7770"]),
        ("presets", ["Presets"]),
        ("keys", ["| space |", "| Esc |"]),
        ("--version", [f"lwlive {__version__}\n"]),
    ],
)
def test_lists_are_printed_and_nothing_is_started(
    word: str, holds: list[str], capsys: pytest.CaptureFixture[str]
):
    assert cli.main([word]) == 0
    out, err = capsys.readouterr()
    assert all(text in out for text in holds)
    assert err == ""


def test_only_the_presets_that_have_a_key_are_listed_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("lwlive.preset.bundled", lambda: [Path(f"p{i}.toml") for i in range(11)])
    cli.main(["presets"])
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row[0] for row in rows] == [*"123456789", " ", " "]
    assert [row[3:] for row in rows] == [f"p{i}" for i in range(11)]


def test_help_has_every_flag_with_its_range_and_default(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in (*FLAGS, *Config.model_fields):
        assert flag(name) in text
    assert "a number from 0 to 4 keyframes/s (default: 0.25)" in text
    assert "from 1 to 8; default: the model's own" in text
    assert "\0" not in text
    assert "None" not in text


# Models and sizes


def test_a_size_is_the_models_own_or_as_wanted_in_steps_of_64(model: Path):
    assert size_of(model, None) == (64, 64)
    assert size_of(model, "512") == (512, 512)
    assert size_of(model, "768x512") == (768, 512)
    for wrong in ("100", "512x500", "00", "64x00"):
        with pytest.raises(ModelError, match=f"multiples of 64 pixels, not {wrong}"):
            size_of(model, wrong)
    (model / "unet" / "config.json").write_text('{"sample_size": [16, 8]}')  # height, width
    assert size_of(model, None) == (64, 128)


@pytest.mark.parametrize("name", ["", "nowhere", "~nobody-of-that-name/x", "/", "ember2"])
def test_a_folder_that_is_no_model_says_what_would_be(name: str):
    with pytest.raises(ModelError, match="give ember, a folder in diffusers format"):
        folder_of(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"steps": 99}', "steps takes a whole number from 1 to 8, not 99"),
        ('{"stepps": 4}', "no parameter 'stepps'"),
        ("[1]", "no JSON object"),
        ("{", "cannot be read"),
    ],
)
def test_a_checkpoints_own_values_are_checked_and_its_file_is_named(
    model: Path, text: str, said: str
):
    (model / "lwlive.json").write_text(text)
    with pytest.raises(ModelError, match=r"lwlive\.json") as caught:
        own_values(model)
    assert said in str(caught.value)


def test_a_checkpoints_own_values_follow_from_its_files(model: Path):
    scheduler = model / "scheduler" / "scheduler_config.json"
    assert own_values(model) == {"steps": 8, "guidance": 7.5}
    scheduler.write_text('{"timestep_spacing": "trailing"}')
    assert own_values(model) == {"steps": 1, "guidance": 1.0}
    scheduler.write_text('{"_class_name": "LCMScheduler"}')
    assert own_values(model) == {"steps": 4, "guidance": 1.0}
    (model / "lwlive.json").write_text('{"steps": 3, "guidance": 2}')
    assert own_values(model) == {"steps": 3, "guidance": 2.0}


# The show


def test_a_missing_model_is_one_sentence(caplog: pytest.LogCaptureFixture):
    assert cli.main(["--model", "nowhere"]) == 1
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("'nowhere' is not a model")


def test_a_port_in_use_is_one_sentence(hall: Hall, caplog: pytest.LogCaptureFixture):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert hall.perform("--headless", "--duration", "1", "--osc-port", str(port)) == 1
    assert len(caplog.messages) == 1
    assert f"UDP port {port} of '127.0.0.1' is in use by another program" in caplog.messages[0]
    assert hall.supply.closed


def test_with_no_screen_it_says_so_and_runs_headless(hall: Hall, caplog: pytest.LogCaptureFixture):
    assert hall.perform("--duration", "0.05", "--stats", "s.json") == 0
    assert any("no screen here" in line and "runs headless" in line for line in caplog.messages)
    figures = json.loads(Path("s.json").read_text("utf-8"))
    assert figures["frames_shown"] + figures["frames_skipped"] == 12
    assert figures["window_s"] is None
    assert figures["recording"] is None
    assert hall.supply.closed


def test_a_headless_show_that_nobody_would_see_is_recorded_for_half_a_minute(
    hall: Hall, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    assert cli.LONE_S == 30
    monkeypatch.setattr(cli, "LONE_S", 0.1)
    assert hall.perform("--headless", "--stats", "s.json") == 0
    (recorder,) = hall.recorders
    assert recorder.path.suffix == ".mp4"
    assert recorder.frames + json.loads(Path("s.json").read_text("utf-8"))["frames_skipped"] == 24
    assert sum(str(recorder.path) in line for line in caplog.messages) >= 2


@pytest.mark.parametrize("told", [{"duration": 3.0}, {"record": Path("a.mp4")}])
def test_a_headless_show_that_was_told_what_to_do_does_just_that(told: dict[str, Any]):
    assert lone(Config(headless=True), None)
    assert not lone(Config(headless=True, **told), None)


def test_an_installation_without_its_screen_ends_so_that_it_is_started_again(
    hall: Hall, caplog: pytest.LogCaptureFixture
):
    assert hall.perform("--fullscreen") == 1
    assert "no screen here" in caplog.messages[-1]
    assert "without --fullscreen the show runs headless" in caplog.messages[-1]
    assert not hall.recorders


def test_what_an_earlier_show_recorded_is_not_written_over(
    hall: Hall, caplog: pytest.LogCaptureFixture
):
    for name in ("set.mp4", "set-2.mp4", "set.jsonl"):
        Path(name).write_text("precious", "utf-8")
    flags = ("--record", "set.mp4", "--journal", "set.jsonl")
    assert hall.perform("--headless", "--duration", "0.05", *flags) == 0
    assert [recorder.path.name for recorder in hall.recorders] == ["set-3.mp4"]
    assert Path("set-2.jsonl").is_file()
    assert Path("set.jsonl").read_text("utf-8") == "precious"
    assert any("set.mp4 is there already" in line for line in caplog.messages)


def test_a_recording_that_cannot_be_written_is_told_and_the_show_goes_on(
    hall: Hall, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    from lwlive.stage.recorder import Recorder

    monkeypatch.setattr(takes, "Recorder", Recorder)
    flags = ("--headless", "--duration", "0.05", "--record", "nowhere/a.mp4", "--stats", "s.json")
    assert hall.perform(*flags) == 1  # what it was to record is not there
    assert sum("there is no folder nowhere" in line for line in caplog.messages) == 1
    figures = json.loads(Path("s.json").read_text("utf-8"))
    assert figures["frames_shown"] + figures["frames_skipped"] == 12


def test_an_engine_that_cannot_begin_ends_the_show_with_its_sentence_and_statistics(
    hall: Hall, caplog: pytest.LogCaptureFixture
):
    def fail(_: float) -> None:
        raise EngineFailure("the checkpoint has no UNet")

    hall.supply.tick = fail  # type: ignore[method-assign]
    assert hall.perform("--headless", "--duration", "1", "--stats", "s.json") == 1
    assert caplog.messages[-1] == "the checkpoint has no UNet"
    assert json.loads(Path("s.json").read_text("utf-8"))["frames_shown"] == 0
    assert hall.supply.closed


def at_tick(supply: FakeSupply, number: int, do: Callable[[], object]) -> None:
    plain = supply.tick

    def tick(now: float) -> Any:
        if supply.ticks == number:
            do()
        return plain(now)

    supply.tick = tick  # type: ignore[method-assign]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_the_show_properly(hall: Hall, number: signal.Signals):
    before = signal.getsignal(number)
    at_tick(hall.supply, 10, lambda: signal.raise_signal(number))
    assert hall.perform("--headless", "--record", "a.mp4", "--stats", "s.json") == 0
    assert json.loads(Path("s.json").read_text("utf-8"))["frames_shown"] == 11
    assert hall.recorders[0].closed
    assert hall.supply.closed
    assert signal.getsignal(number) is before


def test_ctrl_c_before_the_show_leaves_no_traceback(hall: Hall, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_osc", interrupt)
    assert hall.perform("--headless", "--duration", "1") == 130
    assert hall.supply.closed


def test_as_a_program_of_its_own_it_answers_the_same():
    env = {**os.environ, "SEED": "x", "MODEL": "y", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", "lwlive.cli", "--headless", "--model", "nowhere"],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "lwlive: 'nowhere' is not a model: give ember, a folder in diffusers format with a "
        "model_index.json in it, a .safetensors file, or a name that `lwlive models` lists"
    ]
