"""Ableton Link, in a network of its own, with another library in another process."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lwlive.params import ControlError
from lwlive.stage.sources.link import Link
from lwlive.tempo import Tempo

PEER = Path(__file__).with_name("linkpeer.py")
FRAME_S = 1 / 60
ROOT = os.geteuid() == 0 if hasattr(os, "geteuid") else False
ALONE = ["unshare", "--net", *([] if ROOT else ["--map-root-user"]), "sh", "-c"]
NETWORK = "ip link set lo up multicast on && ip route add 224.0.0.0/4 dev lo"


def trouble() -> str:
    """Why a network of its own cannot be had here; "" where it can."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return "needs unshare and ip (Debian: apt install util-linux iproute2)"
    done = subprocess.run([*ALONE, NETWORK], capture_output=True, text=True)
    return f"no network namespace may be made here: {done.stderr}" if done.returncode else ""


class Network:
    """A network namespace, and the members of a Link session in it."""

    def __init__(self) -> None:
        self._members: list[Member] = []
        self._holder = subprocess.Popen(
            [*ALONE, f"{NETWORK} && echo ready && exec sleep 300"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def join(self, kind: str, bpm: float) -> "Member":
        as_root = [] if ROOT else ["--user", "--preserve-credentials"]
        inside = ["nsenter", "--target", str(self._holder.pid), "--net", *as_root]
        self._members.append(Member([*inside, sys.executable, str(PEER), kind, str(bpm)]))
        return self._members[-1]

    def close(self) -> None:
        for member in self._members:
            member.close()
        self._holder.kill()
        self._holder.wait()


class Member:
    """One process in the session."""

    def __init__(self, command: list[str]) -> None:
        pipe, path = subprocess.PIPE, {**os.environ, "PYTHONPATH": str(PEER.parent.parent)}
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=path)
        self.ask("look")

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture
def network() -> Iterator[Network]:
    if why := trouble():
        pytest.skip(why)
    network = Network()
    yield network
    network.close()


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def apart_s(one: dict[str, Any], two: dict[str, Any], of: int = 4) -> float:
    """By how much two members' bars are apart, in seconds."""
    beat = one["beat"] + (two["now"] - one["now"]) * one["bpm"] / 60
    off = (two["beat"] - beat + of / 2) % of - of / 2
    return float(abs(off) * 60 / one["bpm"])


@pytest.mark.slow
def test_two_shows_and_another_program_on_link_are_in_phase(network: Network) -> None:
    other = network.join("other", 97.5)
    until(lambda: other.ask("look")["beat"] > 0.7)
    show, second = network.join("ours", 120), network.join("ours", 140)
    until(lambda: all(m.ask("look")["peers"] == 2 for m in (other, show, second)))
    until(lambda: all(abs(m.ask("look")["bpm"] - 97.5) < 1e-3 for m in (show, second)))
    time.sleep(0.2)

    def in_phase() -> None:
        for _ in range(20):
            seen = other.ask("look"), show.ask("look"), second.ask("look")
            assert apart_s(seen[0], seen[1]) < FRAME_S
            assert apart_s(seen[0], seen[2]) < FRAME_S
            assert apart_s(seen[1], seen[2], 64) < FRAME_S
            time.sleep(0.01)

    in_phase()
    assert show.ask("look")["by"] == "link"
    assert show.ask("look")["notices"][-1] == "Ableton Link: 2 others in the session"
    # a tempo set elsewhere is followed, and one set here is given to the others
    other.ask("bpm 133")
    until(lambda: all(abs(m.ask("look")["bpm"] - 133) < 1e-3 for m in (show, second)))
    time.sleep(0.2)
    in_phase()
    show.ask("bpm 101")
    until(lambda: all(abs(m.ask("look")["bpm"] - 101) < 1e-3 for m in (other, second)))
    time.sleep(0.2)
    in_phase()
    # who strikes a beat here says which of the session's beats is the one here
    while not 1.2 < show.ask("look")["beat"] % 4 < 2.8:
        time.sleep(0.02)
    show.ask("beat")
    time.sleep(0.5)
    seen = other.ask("look"), show.ask("look"), second.ask("look")
    assert apart_s(seen[0], seen[2]) < FRAME_S
    assert apart_s(seen[0], seen[1]) > 0.4
    assert apart_s(seen[0], seen[1], 1) < FRAME_S
    # the line is offered when it moves, and not with every poll
    offers = show.ask("look")["offers"]
    time.sleep(0.5)
    assert offers <= 12
    assert show.ask("look")["offers"] == offers


@pytest.mark.slow
def test_alone_on_link_the_beat_is_the_shows(network: Network) -> None:
    show = network.join("ours", 120)
    show.ask("bpm 90")
    show.ask("beat")
    time.sleep(1.0)  # of two sessions the older one wins, if it is older by half a second
    struck = show.ask("look")
    other = network.join("other", 150)
    until(lambda: abs(other.ask("look")["bpm"] - 90) < 1e-3)
    until(lambda: apart_s(struck, other.ask("look")) < FRAME_S)
    time.sleep(0.2)
    assert apart_s(struck, other.ask("look")) < FRAME_S
    assert apart_s(struck, show.ask("look")) < 0.001


def test_without_the_library_link_is_refused_by_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "link", None)
    with pytest.raises(ControlError, match=r"LinkPython-extern.*GPL.*pip install"):
        Link(Tempo(), print)
