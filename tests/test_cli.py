"""The command line: flags from the declarations, what wins over what, and how errors are told."""

import contextlib
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRecorder, FakeSupply, flat
from hypothesis import given
from hypothesis import strategies as st

from lwlive import __version__
from lwlive.checkpoint import ModelError, folder_of, own_values, size_of
from lwlive.cli import arguments, flags, showfile, subcommands, wiring
from lwlive.config import PARTS, Bare, Config
from lwlive.params import SPECS, ControlError, Params
from lwlive.stage.host import EngineFailure
from lwlive.stage.outputs import takes
from lwlive.stage.rig import lone
from lwlive.stage.starts import IN_A_ROW, Starts
from lwlive.stage.supply import Shown

OTHER = {str: "gold rings", float: 0.5, int: 3, bool: True}  # allowed for all, default for none
FLAGS = [name for name in SPECS if SPECS[name].flag]


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


class Hall:
    """A machine with no screen, and an engine that needs no process."""

    def __init__(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.supply = FakeSupply()
        self.model = model

        class Recorder(FakeRecorder):
            made: list[FakeRecorder] = []  # noqa: RUF012 - the one list of this hall

        self.recorders = Recorder.made
        monkeypatch.setattr(takes, "Recorder", Recorder)
        monkeypatch.setattr(wiring, "supply", lambda *_: self.supply)
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        monkeypatch.chdir(model.parent)

    def perform(self, *words: str) -> int:
        """Run `lwlive` with these flags; OSC on a free port unless they say otherwise."""
        return subcommands.main(
            ["--model", str(self.model), "--fps", "240", "--osc-port", "0", *words]
        )


@pytest.fixture
def hall(model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Hall:
    caplog.set_level(logging.INFO)
    return Hall(model, monkeypatch)


# Flags


def test_without_flags_everything_is_as_declared() -> None:
    assert arguments.parse([]) == (Config(), Params())


@pytest.mark.parametrize("name", FLAGS)
def test_every_live_parameter_is_a_flag_of_its_own_name(name: str) -> None:
    value = 90.0 if name == "bpm" else OTHER[SPECS[name].kind]
    words = [flag(name)] if value is True else [flag(name), str(value)]
    config, params = arguments.parse(words)
    values: dict[str, Any] = {name: value}
    assert getattr(params, name) == value
    assert type(getattr(params, name)) is SPECS[name].kind
    assert params == replace(Params(), **values)
    assert config == Config()


def test_switches_have_a_negative() -> None:
    config, params = arguments.parse(
        ["--no-osc", "--no-compile", "--no-vsync", "--no-hold", "--headless"]
    )
    assert (config.osc, config.compile, config.vsync, config.headless) == (
        False,
        False,
        False,
        True,
    )
    assert params.hold is False


def test_record_is_a_file_and_not_the_live_switch() -> None:
    config, params = arguments.parse(["--record", "a.mp4"])
    assert config.record == Path("a.mp4")
    assert params.record is False


def test_an_allow_list_may_be_repeated() -> None:
    config, _ = arguments.parse(["--osc-allow", "10.0.0.1", "--osc-allow", "192.168.1.0/24"])
    assert config.osc_allow == ["10.0.0.1", "192.168.1.0/24"]


@pytest.mark.parametrize(
    "text", ["None", "null", "none", "", "{}", '{"a": 1}', "[1, 2]", "a, b", '"q"', "=x", "1", "-1"]
)
def test_a_prompt_is_taken_as_it_is_typed(text: str) -> None:
    assert arguments.parse(["--prompt", text])[1].prompt == text
    assert arguments.parse([f"--negative={text}"])[1].negative == text


def test_flags_beat_the_preset_and_the_preset_beats_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('prompt = "rings"\nspeed = 2.0\nhold = true\nseed = 7\n')
    _, params = arguments.parse(["--preset", str(path), "--speed", "0.25", "--no-hold"])
    assert params == Params(prompt="rings", speed=0.25, hold=False, seed=7)


def test_a_preset_is_found_by_its_name_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("seed = 7\n")
    _, params = arguments.parse(["--preset", "mine", "--folder", str(tmp_path)])
    assert params.seed == 7


def test_variables_of_the_users_shell_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SPECS, *Config.model_fields):
        for word in (name, name.upper(), f"LWLIVE_{name.upper()}"):
            monkeypatch.setenv(word, "7")
    assert arguments.parse([]) == (Config(), Params())
    assert arguments.parse(["--steps", "2"])[1] == Params(steps=2)


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
        (["--prompt"], "--prompt needs a value: --prompt TEXT; see lwlive --help"),
        (["--prompt", "--speed", "1"], "to give '--speed' as its value, write --prompt=--speed"),
        (["--hold=maybe"], "--hold takes no value"),
        (["--sped", "1"], "there is no flag '--sped', did you mean --speed?"),
        (["--spee=1"], "there is no flag '--spee', did you mean --speed?"),
        (["-fps", "1"], "there is no flag '-fps', did you mean --fps?"),
        (["show"], "there is no command 'show'; there are render, models"),
        (["preset"], "there is no command 'preset', did you mean presets?"),
        (["--hud", "rings"], "unexpected 'rings'; see lwlive --help"),
        (["osc", "--speed", "1"], "there is no flag '--speed'; see lwlive osc --help"),
        (["models", "pull"], "NAME is missing; see lwlive models pull --help"),
        (["models", "buid"], "did you mean build?"),
        (["--fps", "0"], "--fps takes a number from 1 to 240, not '0'"),
        (["--fps", "inf"], "--fps takes a number from 1 to 240, not 'inf'"),
        (["--size", "big"], "--size takes pixels, 512 or 768x512, multiples of 64, not 'big'"),
        (["--size", "512x"], "--size takes pixels"),
        (["--device", "gpu"], "--device takes auto, cpu, cuda or mps, not 'gpu'\n"),
        (["--device", "cdua"], "not 'cdua', did you mean cuda?"),
        (["--duration", "0"], "--duration takes a number above 0"),
        (["--duration", "nan"], "--duration takes a number above 0"),
        (["--duration", "1e308"], "--duration takes a number above 0, up to 31,622,400"),
        (["--osc-port", "70000"], "--osc-port takes a whole number from 0 to 65535"),
        (["--fit", "stretch"], "--fit takes fill, fit or mirror, not 'stretch'"),
        (["--monitor", ""], "--monitor takes text that is not empty, not ''"),
        (["--config", "nowhere.toml"], "--config: 'nowhere.toml' is not there; `lwlive config`"),
        (["--config", "."], "--config: '.' is not a file"),
        (["--preset", "nowhere/x.toml"], "cannot read the preset"),
        (["--preset", "no such"], "there is no preset 'no such'"),
        (["--folder", "nowhere"], "--folder: there is no folder 'nowhere'"),
        (["--stats", "nowhere/s.json"], "--stats: there is no folder 'nowhere'"),
        (["--stats", "."], "--stats: '.' is a folder; give a file's name"),
        (["--record", "a", "--stats", "./a"], "--record and --stats are the same file, 'a'"),
        (["--journal", "a", "--stats", "././a"], "--journal and --stats are the same file"),
        (["--record", "a.mp4", "--journal", "a.mp4"], "--record and --journal are the same file"),
        (["--stats", "s" * 5000], "--stats: 'sss"),
        (["--folder", "s" * 5000], "--folder: 'sss"),
    ],
    ids=lambda words: " ".join(words)[:30] if isinstance(words, list) else "",
)
def test_what_is_wrong_is_one_sentence_and_exit_code_one(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert subcommands.main(words) == 1
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
        ("keys", ["  space             the walk stands still", "  Esc  "]),
        ("config", ["[model]\n", 'model = "ember"\n', "# size = PIXELS\n", "osc-port = 7770\n"]),
        ("--version", [f"lwlive {__version__}\n"]),
    ],
)
def test_lists_are_printed_and_nothing_is_started(
    word: str, holds: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert subcommands.main([word]) == 0
    out, err = capsys.readouterr()
    assert all(text in out for text in holds)
    assert err == ""


def test_only_the_presets_that_have_a_key_are_listed_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lwlive.preset.bundled", lambda: [Path(f"p{i}.toml") for i in range(11)])
    subcommands.main(["presets"])
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row[0] for row in rows] == [*"123456789", " ", " "]
    assert [row[3:] for row in rows] == [f"p{i}" for i in range(11)]


def test_help_has_every_flag_with_its_range_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        subcommands.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    text = " ".join(said.split())
    for name in (*FLAGS, *Config.model_fields):
        assert flag(name) in text
    assert "a number from 0 to 4 keyframes/s; default: 0.25" in text
    assert "from 1 to 8; default: the model's own" in text
    assert "--record FILE" in text
    assert "--folder FOLDER" in text
    assert "--fps NUMBER" in text
    assert "--fit fill|fit|mirror" in text
    assert "(default" not in text
    assert "default: ;" not in text
    assert "None" not in text
    heads = [line[:-1] for line in said.splitlines() if re.fullmatch(r"[A-Z][\w ]*:", line)]
    assert heads == [arguments.SHOWN, *(part.title for part in PARTS), arguments.FILE]


@pytest.mark.parametrize("words", [*subcommands.COMMANDS, "models pull", "models build", ""])
def test_every_command_can_be_asked_for_help(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        subcommands.main([*words.split(), "--help"])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: {' '.join(['lwlive', *words.split()])}")
    assert out.endswith("\n")
    assert err == ""


def test_the_parts_share_no_name_and_every_table_has_its_own() -> None:
    assert sum(len(flags.of_model(part)) for part in PARTS) == len(Config.model_fields)
    assert len({part.table for part in PARTS} | {showfile.LIVE}) == len(PARTS) + 1


# Models and sizes


def test_a_size_is_the_models_own_or_as_wanted_in_steps_of_64(model: Path) -> None:
    assert size_of(model, None) == (64, 64)
    assert size_of(model, "512") == (512, 512)
    assert size_of(model, "768x512") == (768, 512)
    for wrong in ("100", "512x500", "00", "64x00"):
        with pytest.raises(ModelError, match=f"multiples of 64 pixels, not {wrong}"):
            size_of(model, wrong)
    (model / "unet" / "config.json").write_text('{"sample_size": [16, 8]}')  # height, width
    assert size_of(model, None) == (64, 128)


@pytest.mark.parametrize("name", ["", "nowhere", "~nobody-of-that-name/x", "/", "ember2"])
def test_a_folder_that_is_no_model_says_what_would_be(name: str) -> None:
    with pytest.raises(ModelError, match="give ember, a folder in diffusers format"):
        folder_of(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"steps": 99}', "steps takes a whole number from 1 to 8, not 99"),
        ('{"stepps": 4}', "no parameter 'stepps'"),
        ("[1]", "not a JSON object"),
        ("{", "cannot be read"),
    ],
)
def test_a_checkpoints_own_values_are_checked_and_its_file_is_named(
    model: Path, text: str, said: str
) -> None:
    (model / "lwlive.json").write_text(text)
    with pytest.raises(ModelError, match=r"lwlive\.json") as caught:
        own_values(model)
    assert said in str(caught.value)


def test_a_checkpoints_own_values_follow_from_its_files(model: Path) -> None:
    scheduler = model / "scheduler" / "scheduler_config.json"
    assert own_values(model) == {"steps": 8, "guidance": 7.5}
    scheduler.write_text('{"timestep_spacing": "trailing"}')
    assert own_values(model) == {"steps": 1, "guidance": 1.0}
    scheduler.write_text('{"_class_name": "LCMScheduler"}')
    assert own_values(model) == {"steps": 4, "guidance": 1.0}
    (model / "lwlive.json").write_text('{"steps": 3, "guidance": 2}')
    assert own_values(model) == {"steps": 3, "guidance": 2.0}


# The show


def test_a_missing_model_is_one_sentence(caplog: pytest.LogCaptureFixture) -> None:
    assert subcommands.main(["--model", "nowhere"]) == 1
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("'nowhere' is not a model")


def test_a_port_in_use_is_one_sentence(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert hall.perform("--headless", "--duration", "1", "--osc-port", str(port)) == 1
    assert len(caplog.messages) == 1
    assert f"UDP port {port} of '127.0.0.1' is in use by another program" in caplog.messages[0]
    assert hall.supply.closed


def test_a_start_asks_for_time_with_every_step_before_its_first_tick(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where others have the cores each step may take a minute, and whoever waits would end it."""
    said: list[str] = []

    def hear(_address: str, message: str) -> bool:
        said.extend(message.splitlines())
        return True

    monkeypatch.setattr("lwlive.stage.watchdog.notify", hear)
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    assert hall.perform("--duration", "0.05") == 0
    first = next(n for n, line in enumerate(said) if not line.startswith("EXTEND"))
    assert first >= 4


def test_with_no_screen_it_says_so_and_runs_headless(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    assert hall.perform("--duration", "0.05", "--stats", "s.json") == 0
    assert any("no screen here" in line and "runs headless" in line for line in caplog.messages)
    figures = json.loads(Path("s.json").read_text("utf-8"))
    shown = figures["frames_shown"]
    assert shown <= 12 <= shown + figures["frames_skipped"]  # a late tick may skip past the end
    assert figures["window_s"] is None
    assert figures["recording"] is None
    assert hall.supply.closed


def test_a_headless_show_that_nobody_would_see_is_recorded_for_half_a_minute(
    hall: Hall, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wiring.LONE_S == 30
    monkeypatch.setattr(wiring, "LONE_S", 0.1)
    assert hall.perform("--headless", "--stats", "s.json") == 0
    (recorder,) = hall.recorders
    assert recorder.path.suffix == ".mp4"
    assert recorder.frames + json.loads(Path("s.json").read_text("utf-8"))["frames_skipped"] == 24
    assert sum(str(recorder.path) in line for line in caplog.messages) >= 2


@pytest.mark.parametrize(
    "told",
    [{"duration": 3.0}, {"record": Path("a.mp4")}],
)
def test_a_headless_show_that_was_told_what_to_do_does_just_that(told: dict[str, Any]) -> None:
    assert lone(Config(headless=True), None)
    assert not lone(Config(headless=True, **told), None)


@pytest.mark.parametrize(
    ("words", "manager"),
    [
        (["--headless", "--state", "s.json"], ""),
        (["--headless"], "@nobody"),  # of systemd or of the guard
        (["--state", "s.json"], ""),  # a window, and no screen yet
        (["--headless", "--state", "s.json", "--ndi", "--record", "a.mp4"], ""),  # see below
    ],
)
def test_an_unattended_show_plays_on_whatever_takes_its_pictures(
    hall: Hall,
    words: list[str],
    manager: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wiring, "LONE_S", 0.1)  # 24 pictures
    if manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager)
    if "--record" in words:  # without its outputs nothing is left
        for _ in range(IN_A_ROW):
            Starts(Path("s.json.starts")).failed("output", "no NDI")
    at_tick(hall.supply, 60, lambda: signal.raise_signal(signal.SIGTERM))
    assert hall.perform(*words) == 0
    assert not hall.recorders
    assert any("ended by SIGTERM" in line for line in caplog.messages)
    windows = [line for line in caplog.messages if "opens as soon as there is one" in line]
    assert len(windows) == ("--headless" not in words)


def test_an_installation_plays_without_its_screen_until_there_is_one(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    assert hall.perform("--fullscreen", "--duration", "0.05", "--stats", "s.json") == 0
    assert any("no screen here" in line for line in caplog.messages)
    assert any("the window opens as soon as there is one" in line for line in caplog.messages)
    assert json.loads(Path("s.json").read_text("utf-8"))["frames_shown"]
    assert not hall.recorders


def test_what_an_earlier_show_recorded_is_not_written_over(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("set.mp4", "set-2.mp4", "set.jsonl"):
        Path(name).write_text("precious", "utf-8")
    words = ("--record", "set.mp4", "--journal", "set.jsonl")
    assert hall.perform("--headless", "--duration", "0.05", *words) == 0
    assert [recorder.path.name for recorder in hall.recorders] == ["set-3.mp4"]
    assert Path("set-2.jsonl").is_file()
    assert Path("set.jsonl").read_text("utf-8") == "precious"
    assert any("set.mp4 is there already" in line for line in caplog.messages)


def test_a_recording_that_cannot_be_written_is_told_and_the_show_goes_on(
    hall: Hall, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lwlive.stage.outputs.recorder import Recorder

    monkeypatch.setattr(takes, "Recorder", Recorder)
    hall.supply.pixels = flat(200, 64)  # of the model's size, else that is what fails
    words = ("--headless", "--duration", "0.05", "--record", "nowhere/a.mp4", "--stats", "s.json")
    assert hall.perform(*words) == 1  # what it was to record is not there
    assert sum("there is no folder nowhere" in line for line in caplog.messages) == 1
    figures = json.loads(Path("s.json").read_text("utf-8"))
    shown = figures["frames_shown"]
    assert shown <= 12 <= shown + figures["frames_skipped"]  # a late tick may skip past the end


def test_a_guarded_show_that_somebody_ends_stays_ended_whatever_could_not_be_recorded(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from lwlive.stage.outputs.recorder import Recorder

    monkeypatch.setattr(takes, "Recorder", Recorder)
    hall.supply.pixels = flat(200, 64)
    at_tick(hall.supply, 30, lambda: signal.raise_signal(signal.SIGTERM))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NOTIFY_SOCKET", f"udp:{ear.getsockname()[1]}")
        monkeypatch.setenv("LWLIVE_GUARDED", "1")
        words = ("--headless", "--record", "nowhere/a.mp4", "--stats", "nowhere/s.json")
        assert hall.perform(*words) == 0, "the guard starts what ends with another code"
    assert any("there is no folder nowhere" in line for line in caplog.messages)
    assert any(line.startswith("--stats: nowhere/s.json cannot be") for line in caplog.messages)


def test_an_engine_that_cannot_begin_ends_the_show_with_its_sentence_and_statistics(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(now: float) -> Shown | None:  # noqa: ARG001 - named as in the protocol
        raise EngineFailure("the checkpoint has no UNet")

    hall.supply.tick = fail  # type: ignore[method-assign] # the test's own engine
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

    supply.tick = tick  # type: ignore[method-assign] # the test's own engine


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_the_show_properly(hall: Hall, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    at_tick(hall.supply, 10, lambda: signal.raise_signal(number))
    assert hall.perform("--headless", "--record", "a.mp4", "--stats", "s.json") == 0
    assert json.loads(Path("s.json").read_text("utf-8"))["frames_shown"] == 11
    assert hall.recorders[0].closed
    assert hall.supply.closed
    assert signal.getsignal(number) is before


def test_ctrl_c_before_the_show_leaves_no_traceback(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wiring, "osc", interrupt)
    assert hall.perform("--headless", "--duration", "1") == 130
    assert hall.supply.closed


def test_as_a_program_of_its_own_it_answers_the_same() -> None:
    env = {**os.environ, "SEED": "x", "MODEL": "y", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-m", "lwlive", "--headless", "--model", "nowhere"],
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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells it less exactly")
def test_the_age_of_a_process_is_told_to_a_tenth_of_a_second() -> None:
    code = "import time; began = time.time(); time.sleep(0.5); from lwlive.cli import perform; "
    code += "print(began, time.time(), perform._age_s(), time.time())"
    start = time.time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    began, before, age, after = map(float, done.stdout.split())
    assert before - began - 0.02 <= age <= after - start + 0.02  # the kernel counts in hundredths


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to try it on")
def test_statistics_that_cannot_be_written_are_told_by_their_flag(
    hall: Hall, caplog: pytest.LogCaptureFixture
) -> None:
    assert hall.perform("--headless", "--duration", "0.05", "--stats", "/dev/full") == 1
    assert caplog.messages[-1].startswith("--stats: /dev/full cannot be written: No space left")


# The file of --config


def test_the_printed_file_loads_back_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert subcommands.main(["config"]) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "show.toml"
    path.write_text(printed, "utf-8")
    assert arguments.parse(["--config", str(path)]) == (Config(), Params())
    fixed, values = showfile.read(path)
    commented = re.findall(r"^# ([a-z-]+) = [A-Za-z]", printed, re.MULTILINE)
    said = {name.replace("_", "-") for name in (*fixed, *values)}
    assert said.isdisjoint(commented)
    assert said | set(commented) == {flag(n)[2:] for n in (*Config.model_fields, *FLAGS)}
    for name in Config.model_fields:  # the help stands above each
        assert f"# {Config.model_fields[name].description}" in printed


def test_a_files_values_are_taken_and_a_flag_wins(tmp_path: Path) -> None:
    path = tmp_path / "show.toml"
    path.write_text(
        "[live]\nspeed = 1\nhold = true\ncrossfeed_decay = 0.5\ncrossfeed-range = 0.25\n"
        '[model]\nlora = ["a, b:0.5", "[c]"]\nsize = "512"\n[window]\nfit = "fill"\n'
        '[recording]\nrecord = "a.mp4"\n[osc]\nosc = false\nosc_port = 1\nosc-host = "::"\n',
        "utf-8",
    )
    config, params = arguments.parse(["--config", str(path)])
    assert config == Config(
        lora=["a, b:0.5", "[c]"],
        size="512",
        fit="fill",
        record=Path("a.mp4"),
        osc=False,
        osc_port=1,
        osc_host="::",
    )
    assert params == Params(speed=1, hold=True, crossfeed_decay=0.5, crossfeed_range=0.25)
    words = ["--speed", "2", "--no-hold", "--fit", "mirror", "--lora", "d", "--osc"]
    config, params = arguments.parse([*words, "--config", str(path)])
    assert (config.fit, config.lora, config.osc, config.size) == ("mirror", ["d"], True, "512")
    assert (params.speed, params.hold, params.crossfeed_decay) == (2, False, 0.5)


def test_a_preset_of_the_file_loses_to_it_and_one_of_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "calm.toml").write_text("speed = 0.125\nseed = 5\n")
    path = tmp_path / "show.toml"
    path.write_text(
        f'[show]\npreset = "calm"\n[recording]\nfolder = "{tmp_path.as_posix()}"\n'
        "[live]\nspeed = 2.0\ndepth = 0.5\n"
    )
    assert arguments.parse(["--config", str(path)])[1] == Params(speed=2, seed=5, depth=0.5)
    words = ["--config", str(path), "--preset", "calm"]
    assert arguments.parse(words)[1] == Params(speed=0.125, seed=5, depth=0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[modle]", "there is no table [modle], did you mean model?"),
        ("[model]\nsise = 1", "[model] has no 'sise', did you mean size?"),
        ("[window]\nmodel = 'x'", "model belongs in the table [model], not in [window]"),
        ("[live]\nosc-port = 1", "osc-port belongs in the table [osc], not in [live]"),
        ("[live]\nrecord = true", "record belongs in the table [recording], not in [live]"),
        ("fps = 30", "fps belongs below a line [show]"),
        ("model = 'ember'", "model is a table: write [model] on a line of its own"),
        ("sped = 30", "sped stands in no table"),
        ("[[model]]\nsize = '512'", "model is a table"),
        ("[show]\nfps = '30'", "[show] fps takes a number from 1 to 240, not '30'"),
        ("[show]\nfps = true", "[show] fps takes a number from 1 to 240, not True"),
        ("[show]\nfps = nan", "[show] fps takes a number from 1 to 240, not nan"),
        ("[show]\nduration = 1e308", "[show] duration takes a number above 0, up to"),
        ("[osc]\nosc-port = 7770.0", "[osc] osc-port takes a whole number from 0 to 65535"),
        ("[osc]\nosc-port = 70000", "[osc] osc-port takes a whole number from 0 to 65535"),
        (f"[osc]\nosc-port = {'9' * 400}", "[osc] osc-port takes a whole number"),
        ("[osc]\nosc = 'yes'", "[osc] osc takes true or false, not 'yes'"),
        ("[osc]\nosc-allow = '10.0.0.1'", "[osc] osc-allow takes a list of texts, not '10.0"),
        ("[model]\nlora = [1]", "[model] lora takes a list of texts, not [1]"),
        ("[model]\nsize = 512", "[model] size takes pixels, 512 or 768x512"),
        ("[model]\nmodel = ''", "[model] model takes text that is not empty, not ''"),
        ("[window]\nfit = 'fil'", "[window] fit takes fill, fit or mirror, not 'fil', did you m"),
        ("[live]\nspeed = 9", "speed takes a number from 0 to 4 keyframes/s, not 9"),
        ("[live", "is not valid TOML: "),
        ("[show]\nfps = 1\nfps = 2", "is not valid TOML: "),
        ("a = " + "[" * 5000, "is not valid TOML: "),
        ("[show]\nfps = 0x" + "f" * 4000, "is not valid TOML: a whole number"),
        ('[show]\npreset = "a\\u0000.toml"', "[show] preset takes "),
        ('[model]\nlora = ["a\\u0000"]', "[model] lora takes "),
        ("#" * 2**21, "is larger than a megabyte"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_sentence_with_the_file_and_the_key(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text, "utf-8")
    assert subcommands.main(["--config", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(path) in err
    assert said in err
    assert len(err) < 500 + len(str(path))


def test_a_file_that_is_not_text_or_never_ends_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert subcommands.main(["--config", str(path)]) == 1
    assert "is not text in UTF-8" in capsys.readouterr().err
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "f.toml")
        assert subcommands.main(["--config", str(tmp_path / "f.toml")]) == 1
        assert "is not a file" in capsys.readouterr().err


def test_the_show_does_not_write_over_its_own_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_text("[show]\nfps = 30\n")
    assert subcommands.main(["--config", str(path), "--stats", str(path)]) == 1
    assert "--config and --stats are the same file" in capsys.readouterr().err
    assert path.read_text() == "[show]\nfps = 30\n"


# Hostile values

HOSTILE = (
    *("", " ", "0", "-1", "nan", "inf", "-inf", "1e308", "1e-320", "1_0", "9" * 400, "0x10"),
    *("None", "null", "true", "{}", "[1]", '"', "a,b", "=", "--", "-", "--help=", "x" * 5000),
    *("[SDXL] neon, v2.safetensors:0.8", "::", "..", "/", "/dev/null", "a/b/c"),
    *("\udcff\udcfe", "\u202e漢字", "\x1b[2J", "~nobody/x", "%s%n", "a\nb", "1" * 5000),
)


# Of these almost every value is right, so that a show is played with each.
PLAYED = {
    *("midi", "midi_folder", "audio_in", "cache", "camera", "journal", "log", "monitor", "ndi"),
    *("ndi_address", "ndi_group", "page_host", "scheduler", "state", "stats"),
}
KINDS = {str(field.annotation): name for name, field in Config.model_fields.items()}
NAMES = [  # quick is one flag of each kind of values
    *FLAGS,
    *(
        pytest.param(name, marks=pytest.mark.slow)
        if name in PLAYED or name not in KINDS.values()
        else name
        for name in Config.model_fields
    ),
    "config",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_value_of_any_flag_is_a_traceback(
    name: str, hall: Hall, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ["--offline", "--headless", "--duration", "0.01"]
    # A process and a socket for every value, only where the flag is about them.
    plain += [off for off in ("--no-midi", "--no-osc") if off[5:] not in name]
    for i, text in enumerate(HOSTILE):
        words = [flag(name), text] if i % 2 else [f"{flag(name)}={text}"]
        if name in FLAGS:
            with contextlib.suppress(ControlError):
                arguments.parse(words)
            continue
        hall.supply = FakeSupply()
        at_tick(hall.supply, 60, lambda: signal.raise_signal(signal.SIGINT))  # one asks for 10 s
        caplog.clear()
        code = hall.perform(*plain, *words)
        out, err = capsys.readouterr()
        assert code in (0, 1)
        assert out == ""
        said = [*caplog.messages, *err.splitlines()]
        assert code == 0 or said, f"{words}: it failed and said nothing"
        assert all(len(line) < 1000 for line in said), words
    assert kind_of(name) is bool or stands_alone(name) or subcommands.main([flag(name)]) == 1


def stands_alone(name: str) -> bool:
    """Whether a flag means something without its value."""
    field = Config.model_fields.get(name)
    return field is not None and any(isinstance(each, Bare) for each in field.metadata)


def kind_of(name: str) -> type:
    field = Config.model_fields.get(name)
    if field is not None:
        return bool if field.annotation is bool else str
    return SPECS[name].kind if name in SPECS else str


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    "--",
                    "-",
                    "--prompt",
                    "--hold",
                    "--config",
                    "--size",
                    "--lora",
                    "--osc-port",
                    "=",
                    "--fps=1",
                    "keys",
                ]
            ),
            st.text(max_size=20),
        ),
        max_size=6,
    )
)
def test_no_words_at_all_are_a_traceback(words: list[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            arguments.parse(words)
        except (ControlError, SystemExit):
            return


def test_a_list_flag_takes_its_word_as_it_is() -> None:
    word = "[SDXL] neon, v2.safetensors:0.8"
    assert arguments.parse(["--lora", word, "--lora", '{"a": 1}'])[0].lora == [word, '{"a": 1}']
