"""Safe mode: what fails three starts in a row is left out at the fourth, and tried again later."""

import errno
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import Hall, at_tick

from lwlive.cli import safe, subcommands
from lwlive.config import Config
from lwlive.stage.outputs.lines import Lines
from lwlive.stage.starts import AGAIN_S, IN_A_ROW, PARTS, UNKNOWN, Record, Starts


class Box:
    """A machine that starts its show again and again."""

    def __init__(self, folder: Path) -> None:
        self.file, self.now = folder / "s.json.starts", 1e9
        self.starts = self.start()

    def start(self) -> Starts:
        self.now += 5
        self.starts = Starts(self.file, lambda: self.now)
        return self.starts

    def fail(self, part: str, times: int = 1) -> None:
        """The present start fails, and another one follows."""
        for _ in range(times):
            if part != UNKNOWN:
                self.starts.failed(part, f"{part} is wrong")
            self.start()


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.mark.parametrize("part", PARTS)
def test_what_fails_three_times_in_a_row_is_left_out_at_the_fourth(box: Box, part: str) -> None:
    box.fail(part, IN_A_ROW - 1)
    assert not box.starts.without
    assert box.starts.said == []
    box.fail(part)
    assert list(box.starts.without) == [part]
    assert f"{part} is wrong" in box.starts.said[0]
    assert "3 times in a row" in box.starts.said[0]


def test_a_process_that_is_gone_before_its_first_picture_has_failed_and_parts_go_one_by_one(
    box: Box,
) -> None:
    box.fail(UNKNOWN, IN_A_ROW)
    for i in range(len(PARTS)):
        assert box.starts.without == PARTS[: i + 1]
        assert len(box.starts.said) == 1
        box.fail(UNKNOWN)
    assert box.starts.without == PARTS, "there is nothing more to leave out"


def test_a_start_that_went_well_or_was_ended_begins_the_row_again(box: Box) -> None:
    for good in (Starts.well, Starts.ended):
        box.fail("model", IN_A_ROW - 1)
        good(box.starts)
        box.start()
        assert not box.starts.without
    box.starts.well()
    box.start()
    box.fail("model", IN_A_ROW - 1)
    assert not box.starts.without


def test_a_start_in_safe_mode_that_was_ended_early_leaves_out_no_more_next_time(box: Box) -> None:
    box.fail("model", IN_A_ROW)
    box.starts.ended()
    box.start()
    assert list(box.starts.without) == ["model"]
    assert box.starts.said == []


def test_the_whole_is_tried_again_after_an_hour_and_left_out_again_where_it_fails_once(
    box: Box,
) -> None:
    box.fail("model", IN_A_ROW)
    box.starts.well()
    assert not box.starts.over()
    box.now += AGAIN_S
    assert box.starts.over()
    box.start()
    assert not box.starts.without
    assert "tried again" in box.starts.said[0]
    box.fail("model")
    assert list(box.starts.without) == ["model"]
    box.starts.well()
    box.now += AGAIN_S
    box.start().well()
    box.start()
    assert not box.starts.without
    assert not box.starts.over()


def test_a_clock_that_is_set_back_or_forward_leads_to_a_try_and_no_more(box: Box) -> None:
    box.fail("output", IN_A_ROW)
    box.starts.well()
    box.now -= 9000 * 3600
    assert box.starts.over()
    box.start().well()
    assert not box.starts.without


FAR = json.dumps(asdict(Record()) | {"since": 10**400}).encode()


@given(
    st.binary(max_size=200) | st.sampled_from([b"[]", b"null", b'{"failed": 3}', b"[" * 9999, FAR])
)
def test_a_damaged_record_is_an_empty_one(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.starts"
    file.write_bytes(data)
    assert Starts(file).without == ()


def test_where_nothing_can_be_written_nothing_is_left_out(tmp_path: Path) -> None:
    for _ in range(9):
        starts = Starts(tmp_path / "gone" / "x.starts")
        starts.failed("model", "wrong")
        assert starts.without == ()


# What is left out of settings


def test_the_settings_without_a_part_have_its_defaults() -> None:
    config = Config(model="x", lora=["y"], journal=Path("j"), record=Path("r"), monitor="HDMI-1")
    config = config.model_copy(update={"fullscreen": True, "state": Path("s"), "log": Path("l")})
    assert safe.without(config, ()) == config
    assert safe.without(config, ["compiled package"]).compile is False
    bare = safe.without(config, ["model"])
    assert (bare.model, bare.lora, bare.journal) == ("ember", [], Path("j"))
    tuned = Config(model="x", device="cuda", attention="xformers", batch=64, cache=Path("c"))
    bare = safe.without(tuned, ["model"])
    assert (bare.device, bare.attention, bare.batch) == ("cpu", "auto", None)
    assert bare.cache == Path("c")
    alone = safe.without(config, ["output"])
    assert (alone.journal, alone.record, alone.osc, alone.monitor) == (None, None, False, "HDMI-1")
    assert (alone.model, alone.fullscreen, alone.state, alone.log) == (
        "x",
        True,
        Path("s"),
        Path("l"),
    )


@pytest.fixture
def hall(model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Hall:
    caplog.set_level(logging.INFO)
    return Hall(model, monkeypatch)


@pytest.mark.usefixtures("hall")
@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--model", "nowhere"], "model"),
        (["--preset", "nowhere"], "preset"),
        (["--config", "nowhere.toml"], "configuration"),
        (["--stream", "gopher://x"], "output"),
        (["--log", "s.json"], "output"),
        (["--cues", "nowhere.toml"], "cues"),
        (["--osc-host", "192.0.2.1", "--record", "a.mp4"], "network control"),
    ],
)
def test_a_show_that_keeps_a_state_plays_in_the_end(
    flags: list[str], part: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["--headless", "--osc-port", "0", "--fps", "120", "--duration", "0.1"]
    words += ["--state", "s.json", *flags]
    for _ in range(IN_A_ROW):
        assert subcommands.main(words) == 1
    if part == "configuration":
        starts = Starts(Path("s.json.starts"))
        assert starts.without == (part,)
        assert safe._wanted(words, starts.without) == ["--state", "s.json", "--headless"]
        return
    caplog.clear()
    assert subcommands.main(words) == 0
    assert sum(f"this one is without its {part}" in line for line in caplog.messages) == 1


AWAY = {
    "folder": "stick",
    "journal": "stick/j.jsonl",
    "stats": "stick/figures.json",
    "log": "stick/a.log",
}


@pytest.mark.usefixtures("hall")
@pytest.mark.parametrize("name", AWAY)
def test_a_place_that_is_away_at_a_start_costs_a_show_that_keeps_a_state_nothing_else(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["--headless", "--osc-port", "0", "--fps", "120", "--duration", "0.2"]
    words += ["--state", "s.json", f"--{name}", AWAY[name]]
    for _ in range(IN_A_ROW + 1):
        caplog.clear()
        assert subcommands.main(words) == int(name == "stats"), "only figures are of the end alone"
        assert any("stick" in line for line in caplog.messages), "it is said each time"
        assert json.loads(Path("s.json.starts").read_text("utf-8"))["failed"] == []
    assert not any("without its" in line for line in caplog.messages)
    assert not Path("stick").exists(), "where a stick is to be, nothing is made"
    assert subcommands.main([*words[:7], f"--{name}", AWAY[name]]) == 1, "a person is told"


def test_what_comes_back_in_mid_show_is_written_from_then_on(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lines.__init__, "__defaults__", (False, 0.05))
    at_tick(hall.supply, 30, lambda: Path("stick").mkdir())
    words = ["--headless", "--state", "s.json", "--folder", "stick", "--duration", "1"]
    words += ["--journal", "stick/j.jsonl", "--stats", "stick/f.json"]
    assert hall.perform(*words) == 0
    assert json.loads(Path("stick/f.json").read_text("utf-8"))["frames_shown"] > 100
    first = Path("stick/j.jsonl").read_text("utf-8").splitlines()[0]
    assert json.loads(first)["config"]["journal"] == str(Path("stick/j.jsonl"))


@pytest.mark.usefixtures("hall")
def test_a_folder_that_does_not_answer_any_more_is_one_that_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A stick that was pulled while it was mounted: its folder is there and cannot be read."""

    Path("stick").mkdir()
    for name in ("scandir", "listdir"):
        real = getattr(os, name)

        def pulled(path: Any, real: Callable[[Any], Any] = real) -> Any:
            if str(path) == "stick":
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            return real(path)

        monkeypatch.setattr(os, name, pulled)
    words = ["--headless", "--osc-port", "0", "--fps", "120", "--duration", "0.1"]
    words += ["--state", "s.json", "--folder", "stick"]
    for _ in range(IN_A_ROW + 1):
        assert subcommands.main(words) == 0
    said = [line for line in caplog.messages if line.startswith("--folder: 'stick' cannot be used")]
    assert len(said) == IN_A_ROW + 1
    assert not any("without its" in line for line in caplog.messages)


def test_a_start_without_its_configuration_keeps_its_screen(tmp_path: Path) -> None:
    file = tmp_path / "show.toml"

    def wanted(text: str, *more: str) -> list[str]:
        file.write_text(text, "utf-8")
        args = ["--config", str(file), "--state=s.json", "--preset", "lava", *more]
        assert safe._wanted(args, ()) == args
        found = safe._wanted(args, ("configuration",))
        assert found[:2] == ["--state", "s.json"]
        return found[2:]

    wrong = "[show]\nfps = 'many'\n[window]\n"
    assert wanted(f"{wrong}fullscreen = true\nmonitor = 'HDMI-1'\n") == [
        *("--fullscreen", "--monitor", "HDMI-1")
    ]
    assert wanted(f"{wrong}fullscreen = true\nmonitor = 7.5\n") == ["--fullscreen"]
    assert wanted(f"{wrong}headless = true\n") == ["--headless"]
    assert wanted(wrong) == []
    assert wanted(wrong, "--monitor=1", "--fullscreen") == ["--fullscreen", "--monitor", "1"]
    assert wanted(f"{wrong}fullscreen = true\n", "--no-fullscreen") == []
    assert wanted("[window") == ["--fullscreen"], "nobody knows: an audience sees no desktop"
    assert wanted("[window", "--headless") == ["--headless"]
    file.unlink()
    args = ["--config", str(file), "--state", "s.json"]
    assert safe._wanted(args, ("configuration",)) == ["--state", "s.json", "--fullscreen"]


@pytest.mark.usefixtures("hall")
def test_a_state_that_a_file_of_settings_names_serves_where_the_rest_of_it_is_wrong() -> None:
    file = "[gallery]\nstate = 's.json'\n[window]\nheadless = true\n[show]\nfps = 'many'\n"
    Path("show.toml").write_text(file, "utf-8")
    for _ in range(IN_A_ROW):
        assert subcommands.main(["--config", "show.toml"]) == 1
    starts = Starts(Path("s.json.starts"))
    assert starts.without == ("configuration",)
    assert safe._wanted(["--config", "show.toml"], starts.without) == [
        *("--state", "s.json", "--headless")
    ]


@pytest.mark.usefixtures("hall")
def test_a_show_without_a_state_is_refused_each_time() -> None:
    for _ in range(IN_A_ROW + 2):
        assert subcommands.main(["--headless", "--model", "nowhere"]) == 1
    assert not list(Path(".").glob("*.starts"))


def test_who_asks_for_help_has_not_failed_to_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "s.json"
    for _ in range(IN_A_ROW + 1):
        with pytest.raises(SystemExit):
            safe.start(["--state", str(state), "--help"], "", {})
    assert "--state" in capsys.readouterr().out
    starts = Starts(tmp_path / "s.json.starts")
    assert starts.without == ()
    assert starts.said == []


def test_a_show_without_any_flag_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[Config] = []

    def perform(config: Config, _: object) -> int:
        played.append(config)
        return 0

    monkeypatch.setattr("lwlive.cli.perform.perform", perform)
    assert safe.start([], "", {}) == 0
    assert played[0].state is None
