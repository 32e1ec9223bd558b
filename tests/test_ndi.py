"""NDI, as a receiver of the other wrapper gets it, in a network that nothing leaves."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from feeds import Played, feed_of, until

from lwlive.params import ControlError
from lwlive.stage.outputs import ndi

HERE = Path(__file__).parent
NETWORK = """
ip link set lo up multicast on && ip route add 224.0.0.0/4 dev lo
ip link add v0 type veth peer name v1 && ip addr add 10.99.0.1/24 dev v0
ip link set v0 up && ip link set v1 up && ip route add default dev v0
exec "$@"
"""


def isolated(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run something in a network namespace of its own, where NDI finds what is on this machine."""
    settings = {"ndi": {"networks": {"ips": "127.0.0.1,"}}}
    (folder / "ndi-config.v1.json").write_text(json.dumps(settings))
    return subprocess.run(
        ["unshare", "-n", "bash", "-c", NETWORK, "network", *command],
        env={**os.environ, "NDI_CONFIG_DIR": str(folder), "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("ndi")
    if isolated(folder, "true").returncode:
        pytest.skip("needs root on Linux with iproute2, for a network of its own")
    done = isolated(folder, sys.executable, str(HERE / "ndi_show.py"))
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print({key: told[key] for key in ("rate", "late_ms")})
    return told


@pytest.mark.slow
def test_a_receiver_of_another_wrapper_gets_the_pictures_in_order_at_the_shows_rate(
    found: dict[str, Any],
) -> None:
    assert len(found["numbers"]) >= 60
    assert found["numbers"] == sorted(set(found["numbers"]))
    assert found["rate"] == pytest.approx(30, rel=0.1)
    assert found["late_ms"] < 1000
    assert found["sent"] + found["dropped"] == found["ticks"]
    assert found["longest_s"] < 0.05
    assert "(rig)" in found["said"][0]


@pytest.mark.slow
def test_a_receiver_that_went_and_is_back_gets_them_again(found: dict[str, Any]) -> None:
    assert len(found["again"]) == 10
    assert found["again"] == sorted(set(found["again"]))
    assert found["again"][0] > found["numbers"][-1]
    assert len(found["said"]) == 1  # nothing has failed


@pytest.mark.slow
def test_colours_arrive_within_three_of_255(found: dict[str, Any]) -> None:
    wanted = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 120), (255, 255, 255), (0, 0, 0))
    for sent, got in zip(wanted, found["colours"], strict=True):
        assert got == pytest.approx(sent, abs=3)


@pytest.mark.slow
def test_a_name_that_is_taken_is_a_sentence(found: dict[str, Any]) -> None:
    assert "there is a sender called 'rig' on this machine already" in found["twin"]


def test_ndi_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lwlive.stage.outputs.feed.find_spec", lambda _: None)
    with pytest.raises(ControlError, match=r"NDI is not installed.*pip install.*\[ndi\]"):
        ndi.check()
    said: list[str] = []
    feed = feed_of(lambda: ndi.Ndi("a", "", None, Fraction(30)), said)
    with Played(feed, "test"):
        until(lambda: said, "nothing is said")
    assert "NDI is not installed" in said[0]
    assert "trying again" not in said[0]


def test_one_network_is_asked_for_and_the_users_own_settings_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"ndi": {"machinename": "stage", "adapters": {"allowed": ["10.0.0.9"]}}}
    (tmp_path / "ndi-config.v1.json").write_text(json.dumps(own))
    monkeypatch.setenv("NDI_CONFIG_DIR", str(tmp_path))
    ndi._keep_to("127.0.0.1")
    told = json.loads((Path(os.environ["NDI_CONFIG_DIR"]) / "ndi-config.v1.json").read_text())
    assert told == {"ndi": {"machinename": "stage", "adapters": {"allowed": ["127.0.0.1"]}}}
    assert json.loads((tmp_path / "ndi-config.v1.json").read_text()) == own


@pytest.mark.parametrize("content", [None, "", "[]", '{"ndi": 3}', "{"])
def test_settings_that_ndi_could_not_read_either_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "ndi-config.v1.json").write_text(content)
    monkeypatch.setenv("NDI_CONFIG_DIR", str(tmp_path))
    ndi._keep_to("127.0.0.1")
    told = json.loads((Path(os.environ["NDI_CONFIG_DIR"]) / "ndi-config.v1.json").read_text())
    assert told == {"ndi": {"adapters": {"allowed": ["127.0.0.1"]}}}
