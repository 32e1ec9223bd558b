"""`lwlive service`: what starts a show at boot, printed or installed.

systemd on Linux, launchd on macOS, a scheduled task on Windows. The last two are written by their
manuals and have not been tried. Nothing is installed without `--install`, and what was done is
said together with how to undo it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from lwlive.params import ControlError

if TYPE_CHECKING:
    from lwlive.cli.flags import Rows

NAME = "lwlive"
HANG_S = 10  # as systemd waits for a picture; the guard waits for 5
UNIT = """\
# Starts this show with the desktop of its user, and again whenever it dies or hangs.

[Unit]
Description=lwlive, the show of {config}
# The session's screen is there first. Without one the show plays on, and waits for it.
After=graphical-session.target
# A show is never given up: after any number of failures it is started again.
StartLimitIntervalSec=0

[Service]
# The show says READY with its first picture, and asks for more time while a model is compiled.
Type=notify
TimeoutStartSec=120
# Each second of pictures is a sign of life; without one for so long the show hangs.
WatchdogSec={hang}
ExecStart={command}
WorkingDirectory={folder}
{environment}# Whatever ends it, a key included. `systemctl --user stop {name}` ends it for good.
Restart=always
RestartSec=1
# Recordings become ordinary files at the end, which takes a while.
TimeoutStopSec=90
KillMode=mixed

[Install]
WantedBy=default.target
"""
AGENT = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- Starts this show when its user logs in, and again whenever it dies or hangs. Not tried yet. -->
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" \
"http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>{name}</string>
  <key>ProgramArguments</key>
  <array>
{arguments}
  </array>
  <key>WorkingDirectory</key><string>{folder}</string>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><true/>
  <key>ProcessType</key><string>Interactive</string>
</dict>
</plist>
"""
TASK = """\
<?xml version="1.0" encoding="UTF-16"?>
<!-- Starts this show when its user logs on; the guard starts it again. Not tried yet. -->
<Task version="1.4" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <Triggers><LogonTrigger><Enabled>true</Enabled></LogonTrigger></Triggers>
  <Settings>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <RestartOnFailure><Interval>PT1M</Interval><Count>255</Count></RestartOnFailure>
  </Settings>
  <Actions>
    <Exec>
      <Command>{program}</Command>
      <Arguments>{arguments}</Arguments>
      <WorkingDirectory>{folder}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"""


def main(args: Sequence[str], about: str) -> int:
    """Print what starts a show, or install it. Raises ControlError; ends the process for --help."""
    from lwlive.cli import flags

    given = flags.read(f"{NAME} service", about, {"Service": _rows()}, args)
    if "config" not in given:
        raise ControlError(
            "--config is missing: a service takes its settings from a file; `lwlive config > "
            "show.toml` writes one"
        )
    config = Path(given["config"]).absolute()
    if not config.is_file():
        raise ControlError(f"--config: there is no file {config}; `lwlive config > show.toml`")
    from lwlive.cli import showfile

    showfile.read(config)  # what is wrong in it is said now, and not at the next boot
    text, place = described(config, sys.platform)
    if not given.get("install"):
        print(text, end="")
        return 0
    return _install(text, place)


def _rows() -> "Rows":
    from pydantic import Field

    config: Any = Field(None, description="the file of settings that the show starts with")
    install: Any = Field(False, description="write it and enable it, and say how to undo that")
    return {"config": (Path | None, config), "install": (bool, install)}


def described(config: Path, platform: str) -> tuple[str, Path]:
    """The text for this system, and where it belongs."""
    import platformdirs

    state = platformdirs.user_state_path(NAME, appauthor=False) / f"{config.stem}.state.json"
    show = ["--config", str(config), "--state", str(state)]
    python = [sys.executable, "-m", NAME]
    guarded = [*python, "guard", "--", *show]
    home = Path.home()
    if platform == "darwin":
        rows = "\n".join(f"    <string>{escape(word)}</string>" for word in guarded)
        text = AGENT.format(name=NAME, arguments=rows, folder=escape(str(config.parent)))
        return text, home / "Library" / "LaunchAgents" / f"{NAME}.plist"
    if platform == "win32":
        words = subprocess.list2cmdline(guarded[1:])
        text = TASK.format(
            program=escape(guarded[0]), arguments=escape(words), folder=escape(str(config.parent))
        )
        return text, config.with_name(f"{NAME}.xml")
    command = " ".join(_quoted(word) for word in (*python, *show))
    text = UNIT.format(
        config=_percent(config.name),
        hang=HANG_S,
        command=command,
        folder=_percent(str(config.parent)),
        environment=_screen(os.environ),
        name=NAME,
    )
    return text, _unit_folder() / f"{NAME}.service"


def installed() -> bool:
    """Whether a systemd unit of a show is there."""
    return _unit_folder().joinpath(f"{NAME}.service").exists()


def _unit_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _screen(environment: Mapping[str, str]) -> str:
    """The screen that this is run on: at boot nobody else tells the show of it."""
    known = [n for n in ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY") if environment.get(n)]
    if not known:
        return (
            "# The show's screen, where the session does not tell it:\n# Environment=DISPLAY=:0\n"
        )
    rows = (f'Environment="{n}={_percent(environment[n])}"\n' for n in known)
    return "# The screen that this file was written on.\n" + "".join(rows)


def _quoted(word: str) -> str:
    """A word as systemd reads it in a command line."""
    told = _percent(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{told}"' if any(c in told for c in " \t\"'\\;") or not told else told


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _install(text: str, place: Path) -> int:
    """Write the description and have the system take it up. Says what was done."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, "utf-16" if place.suffix == ".xml" else "utf-8")
    print(f"written: {place}")
    failed = False
    for command in _enabling(place):
        told = subprocess.list2cmdline(command)
        if shutil.which(command[0]) is None:
            print(f"not run, since there is no {command[0]} here: {told}")
            failed = True
            continue
        done = subprocess.run(command, capture_output=True, text=True)
        failed |= done.returncode != 0
        said = f" ({(done.stderr or done.stdout).strip()})" if done.returncode else ""
        print(f"{'failed' if done.returncode else 'run'}: {told}{said}")
    print("to undo it: " + "; ".join(subprocess.list2cmdline(one) for one in _undoing(place)))
    return int(failed)


def _enabling(place: Path) -> list[list[str]]:
    if place.suffix == ".plist":
        return [["launchctl", "load", "-w", str(place)]]
    if place.suffix == ".xml":
        return [["schtasks", "/Create", "/TN", NAME, "/XML", str(place), "/F"]]
    return [
        ["systemctl", "--user", "daemon-reload"],
        ["systemctl", "--user", "enable", "--now", NAME],
        ["loginctl", "enable-linger"],  # it starts at boot, before anybody logs in
    ]


def _undoing(place: Path) -> list[list[str]]:
    if place.suffix == ".plist":
        return [["launchctl", "unload", "-w", str(place)], ["rm", str(place)]]
    if place.suffix == ".xml":
        return [["schtasks", "/Delete", "/TN", NAME, "/F"]]
    return [["systemctl", "--user", "disable", "--now", NAME], ["rm", str(place)]]
