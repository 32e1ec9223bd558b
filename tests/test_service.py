"""What starts a show at boot, and what is looked at before the doors open."""

import os
import plistlib
import shutil
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lwlive.checkpoint import Additions, Opened, Size
from lwlive.cli import looks, service, subcommands
from lwlive.config import Config
from lwlive.engine.compiled.build import Build
from lwlive.engine.networks import Kind

HARD = 'show of 100% "x" $y.toml'  # a name that is hard to quote


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "show.toml"
    path.write_text('[model]\nmodel = "ember"\n', "utf-8")
    return path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("name", ["show.toml", HARD])
def test_systemd_finds_nothing_wrong_with_the_unit(
    config: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0.1")
    named = config.rename(config.with_name(name))
    text, place = service.described(named, "linux")
    unit = config.parent / place.name
    unit.write_text(text, "utf-8")
    runtime = config.parent / "run"
    runtime.mkdir(mode=0o700)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
    )
    about = [line for line in done.stderr.splitlines() if unit.name in line]
    assert not about, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_unit_waits_for_pictures_and_is_never_given_up(config: Path) -> None:
    text, place = service.described(config, "linux")
    assert place == config.parent / "config" / "systemd" / "user" / "lwlive.service"
    rows = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and "#" not in line)
    assert (rows["Type"], rows["WatchdogSec"], rows["Restart"]) == ("notify", "10", "always")
    assert rows["StartLimitIntervalSec"] == "0"
    assert f"--config {config}" in rows["ExecStart"]
    assert "--state" in rows["ExecStart"]
    assert rows["ExecStart"].startswith(sys.executable)


def test_other_systems_start_a_guard(config: Path) -> None:
    named = config.rename(config.with_name("a & b.toml"))
    text, place = service.described(named, "darwin")
    agent = plistlib.loads(text.encode())
    words = agent["ProgramArguments"]
    assert words[:5] == [sys.executable, "-m", "lwlive", "guard", "--"]
    assert words[5:7] == ["--config", str(named)]
    assert place.parts[-3:] == ("Library", "LaunchAgents", "lwlive.plist")
    text, place = service.described(named, "win32")
    task = ET.fromstring(text.split("?>", 1)[1])
    names = {node.tag.rpartition("}")[2]: node.text for node in task.iter()}
    assert names["Command"] == sys.executable
    assert f'--config "{named}"' in (names["Arguments"] or "")


def test_printing_writes_nothing_and_what_is_wrong_is_told_now(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert subcommands.main(["service", "--config", str(config)]) == 0
    assert "Type=notify" in capsys.readouterr().out
    assert not (config.parent / "config").exists()
    assert subcommands.main(["service"]) == 1
    assert "--config is missing" in capsys.readouterr().err
    config.write_text("[model]\nmodle = 1\n", "utf-8")
    assert subcommands.main(["service", "--config", str(config)]) == 1
    assert "[model] has no 'modle', did you mean model?" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="others are enabled by other programs")
def test_install_writes_and_enables_it_and_says_how_to_undo_it(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = config.parent / "bin"
    programs.mkdir()
    for name in ("systemctl", "loginctl"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {config.parent}/calls\n', "utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert subcommands.main(["service", "--config", str(config), "--install"]) == 0
    assert (config.parent / "calls").read_text().splitlines() == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now lwlive",
        "loginctl enable-linger",
    ]
    unit = config.parent / "config" / "systemd" / "user" / "lwlive.service"
    assert unit.read_text() == service.described(config, "linux")[0]
    said = capsys.readouterr().out
    assert f"written: {unit}" in said
    assert "to undo it: systemctl --user disable --now lwlive; rm " in said
    (programs / "systemctl").write_text("#!/bin/sh\necho no bus >&2\nexit 1\n", "utf-8")
    assert subcommands.main(["service", "--config", str(config), "--install"]) == 1
    assert "failed: systemctl --user daemon-reload (no bus)" in capsys.readouterr().out


# lwlive check


def checked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    code = subcommands.main(["check", "--headless", *words])
    rows = {}
    for line in capsys.readouterr().out.splitlines():
        if line.startswith(("ok   ", "WRONG")):
            mark, _, rest = line.partition("  ")
            what, _, found = rest.strip().partition(": ")
            rows[what] = f"{mark.strip()} {found}"
    return code, rows


def test_a_package_of_a_model_of_the_hub_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--stabilityai--sd-turbo" / "snapshots" / "0123abcd"
    opened = Opened(snapshot, Additions(), Size(512, 512), tmp_path)
    monkeypatch.setattr(looks, "_opened", lambda _: opened)
    with pytest.raises(looks.Trouble, match="nothing is compiled for sd-turbo"):
        looks._package(Config(model="sd-turbo"))
    want = Build(str(snapshot), Size(512, 512), "cpu", Kind("float32", True), 1, 1)
    place = want.place(tmp_path)
    place.mkdir(parents=True)
    (place / "costs.json").write_text("[1, 1]")
    assert looks._package(Config(model="sd-turbo")) == f"1 in {tmp_path / 'packages'}"


@pytest.mark.slow
@pytest.mark.usefixtures("config")
def test_each_thing_that_is_missing_is_a_line_and_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "cache"
    given = ["--cache", str(cache), "--osc-port", "0"]
    code, rows = checked(capsys, *given, "--no-compile")
    assert code == 0, rows
    assert all(row.startswith("ok") for row in rows.values())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        code, rows = checked(capsys, "--cache", str(cache), "--osc-port", str(port))
    assert code == 1
    assert rows["OSC port"].startswith(f"WRONG UDP port {port}")
    assert "nothing is compiled for ember yet" in rows["compiled package"]
    code, rows = checked(capsys, *given, "--model", "nowhere", "--record", str(tmp_path))
    assert code == 1
    assert "is not a model" in rows["model"]
    assert "is a folder" in rows["files"]
    assert "compiled package" not in rows, "it is told once"
    code, rows = checked(capsys, "--config", "nowhere.toml")
    assert (code, list(rows)) == (1, ["settings"])
    assert not list(tmp_path.glob("*.mp4")), "nothing is changed"


@pytest.mark.slow
@pytest.mark.usefixtures("config")
def test_a_monitor_that_is_not_there_is_told(
    screen: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    _, rows = checked(capsys, "--no-headless", "--monitor", "HDMI-9")
    assert rows["window"].startswith("WRONG there is no monitor HDMI-9")
    _, rows = checked(capsys, "--no-headless", "--monitor", "1")
    assert rows["window"] == "ok it opens on monitor 1"
