"""The page's server: who gets in, what is asked for and told, and what cannot harm the show."""

import asyncio
import contextlib
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from playing import SIDE, Playing, colour, until

from lwlive.checkpoint import Size
from lwlive.commands import (
    Amount,
    Command,
    Fire,
    Go,
    Learn,
    Move,
    Recall,
    Set,
    Switch,
    Unpatch,
)
from lwlive.params import SPECS, TRIGGERS, ControlError
from lwlive.recent import Recent
from lwlive.stage.sources.listening import ListenError
from lwlive.stage.sources.osc.addresses import listened
from lwlive.stage.sources.osc.sockets import networks
from lwlive.stage.sources.page import address, asking, health, opening
from lwlive.stage.sources.page import page as page_module
from lwlive.stage.sources.page.access import CLIENTS, Access, Budget, own_host, own_origin
from lwlive.stage.sources.page.address import Address
from lwlive.stage.sources.page.board import STATE_BYTES, Board
from lwlive.stage.sources.page.clients import Clients
from lwlive.stage.sources.page.preview import Preview
from lwlive.stage.sources.page.server import FILES, Server
from lwlive.stage.sources.page.state import changed, read
from lwlive.stage.sources.page.surface import surface

ROOT = Path(__file__).resolve().parent.parent
TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
STATE = st.dictionaries(st.sampled_from("abc"), JSON | st.dictionaries(TEXT, st.integers()))


# The board


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(8, 8)
    yield made
    made.forget_name()
    made.close()


def test_the_newest_state_is_read_whole_by_the_other_side(board: Board) -> None:
    other = Board.attach(board.handle)
    assert other.state(0) is None
    for number in range(1, 4):
        assert board.put_state(b"x" * number)
    assert other.state(0) == (3, b"xxx")
    assert other.state(3) is None
    other.close()


def test_a_state_that_is_half_written_is_not_read(board: Board) -> None:
    board.put_state(b"whole")
    board._bytes[278] ^= 1  # in the middle of it
    assert board.state(0) is None
    board.put_state(b"again")
    assert board.state(0) == (2, b"again")


def test_a_state_that_is_too_long_leaves_the_one_before(board: Board) -> None:
    board.put_state(b"before")
    assert not board.put_state(b"x" * (STATE_BYTES + 1))
    assert board.state(0) == (1, b"before")


def test_the_newest_picture_is_read_and_none_twice(board: Board) -> None:
    for grey in (1, 2, 3, 4):
        board.put_picture(np.full((8, 8, 3), grey, np.uint8))
    found = board.picture(0)
    assert found is not None
    assert (found[0], found[1].max(), found[1].min()) == (4, 4, 4)
    assert board.picture(4) is None


def test_a_large_picture_is_shown_smaller() -> None:
    board = Board.create(1024, 768)
    board.put_picture(np.full((1024, 768, 3), 7, np.uint8))
    found = board.picture(0)
    assert found is not None
    assert found[1].shape == (512, 384, 3)
    board.forget_name()
    board.close()


# What is told


@given(STATE, STATE)
def test_whoever_knew_the_old_state_and_hears_the_changes_knows_the_new_one(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    after = before | after  # the names of a state do not change
    known = {k: dict(v) if isinstance(v, dict) else v for k, v in before.items()}
    for name, value in changed(before, after).items():
        if isinstance(value, dict) and isinstance(known.get(name), dict):
            known[name].update(value)
        else:
            known[name] = value
    for name, value in after.items():
        if isinstance(value, dict):
            left = {k: v for k, v in known[name].items() if v is not None or k in value}
            assert left == {k: value[k] for k in left}
            assert left.keys() == value.keys()
        else:
            assert known[name] == value


def test_what_has_not_changed_is_not_told() -> None:
    state = {"values": {"speed": 1.0, "seed": 3}, "fps": 30}
    assert changed(state, state) == {}
    assert changed(state, {"values": {"speed": 2.0, "seed": 3}, "fps": 30}) == {
        "values": {"speed": 2.0}
    }


def test_nan_reaches_no_browser() -> None:
    assert read(b'{"latency_ms": NaN, "level": Infinity}') == {"latency_ms": None, "level": None}


def test_every_parameter_and_trigger_has_its_place_on_the_page() -> None:
    told = surface()
    assert [each["name"] for each in told["controls"]] == list(SPECS)
    assert [each["name"] for each in told["triggers"]] == list(TRIGGERS)
    for each in told["controls"]:
        assert each["kind"] == "str" or SPECS[each["name"]].travel == tuple(each["travel"])


# What is asked for


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["/lwlive/speed", 0.5], Set("speed", 0.5)),
        (["/lwlive/speed", "0.5"], Set("speed", 0.5)),
        (["/lwlive/prompt", "gold :1 | smoke :0.4"], Set("prompt", "gold :1 | smoke :0.4")),
        (["/lwlive/hold", True], Set("hold", True)),
        (["/lwlive/fader/speed", 0.5], Move("speed", 0.5)),
        (["/lwlive/next", 1], Fire("next")),
        (["/lwlive/next", 0], None),
        (["/lwlive/preset", "tunnel", 8], Recall("tunnel", 8.0)),
        (["/lwlive/cue", "dawn"], Go("dawn")),
        (["/lwlive/cue", 3], Go(3)),
        (["/lwlive/learn", "speed"], Learn("speed")),
        (["/lwlive/learn"], Learn(None)),
        (["/lwlive/output/ndi", False], Switch("ndi", False)),
        (["/lwlive/route/3/amount", -0.5], Amount(3, -0.5)),
        (["/lwlive/route/3/off", 1], Unpatch(3)),
        (["save"], Fire("save")),
    ],
)
def test_a_message_asks_for_a_command(words: list[Any], command: object) -> None:
    assert asking.asked(words)[1] == command


@given(JSON | st.tuples(st.sampled_from([*asking.ROWS]), JSON, JSON).map(list))
@example(["/lwlive/speed", 10**400])
@example(["/lwlive/fader/speed", -(10**400)])
@example(["/lwlive/cue", 10**400])
def test_whatever_is_asked_for_is_a_command_or_a_sentence(words: Any) -> None:
    with contextlib.suppress(ControlError):
        key, command = asking.asked(words)
        assert key
        assert command is None or isinstance(command, Command)


@given(st.text() | JSON.map(json.dumps))
def test_whatever_comes_in_is_an_object_or_a_sentence(text: str) -> None:
    with contextlib.suppress(ControlError):
        assert isinstance(asking.message(text), dict)


def test_nothing_that_ends_a_show_or_names_a_path_can_be_asked_for() -> None:
    for words in (["quit"], ["/lwlive/quit"], ["/lwlive/preset", "../x"]):
        with pytest.raises(ControlError):
            asking.asked(words)
    assert not any("subscribe" in row.verb for row in asking.ROWS.values())


# Who gets in


def test_the_secret_stands_in_front_of_everything_of_the_page() -> None:
    access = Access(Address("10.0.0.7", 7770, "geheim-geheim"), True, False)
    assert access.page("/page/geheim-geheim/") == ""
    assert access.page("/page/geheim-geheim/page.js") == "page.js"
    for wrong in ("/page/", "/page/geheim-geheim", "/page/other/", "/page//", "/", "/page/geheim"):
        assert access.page(wrong) is None


@pytest.mark.parametrize(
    ("osc", "opened", "allow", "peer", "may"),
    [
        (True, False, [], "127.0.0.1", True),
        (True, False, [], "::1", True),
        (True, False, [], "::ffff:127.0.0.1", True),
        (True, False, [], "192.168.1.9", False),
        (True, True, [], "192.168.1.9", True),
        (True, True, ["192.168.1.9"], "192.168.1.9", True),
        (True, True, ["192.168.1.9"], "192.168.1.8", False),
        (True, True, ["192.168.1.9"], "127.0.0.1", False),
        (False, True, [], "127.0.0.1", False),
        (True, True, [], "", False),
        (True, True, [], "nonsense", False),
    ],
)
def test_who_may_send_osc_may_ask_what_there_is(
    osc: bool, opened: bool, allow: list[str], peer: str, may: bool
) -> None:
    access = Access(Address("x", 1, None), osc, opened, networks(allow))
    assert access.query(peer) is may


def test_a_show_is_announced_only_where_others_reach_page_and_osc() -> None:
    here, there = Address("127.0.0.1", 1, None), Address("10.0.0.7", 1, "geheim-geheim")
    assert Access(there, True, True).announced
    assert not Access(here, True, True).announced
    assert not Access(there, True, False).announced
    assert not Access(there, False, True).announced


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:7770", True),
        ("[::1]:7770", True),
        ("localhost", True),
        ("192.168.1.4:7770", True),
        (f"{socket.gethostname()}:7770", True),
        ("stage.local:7770", True),
        ("evil.example:7770", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        (None, False),
        ("[", False),
    ],
)
def test_a_name_that_leads_here_by_trickery_is_not_ours(host: str | None, own: bool) -> None:
    assert own_host(host) is own


def test_a_page_of_another_site_is_not_ours() -> None:
    assert own_origin(None, "127.0.0.1:7770")
    assert own_origin("http://127.0.0.1:7770", "127.0.0.1:7770")
    for other in ("http://127.0.0.1:80", "https://evil.example", "null", ""):
        assert not own_origin(other, "127.0.0.1:7770")


def test_a_client_that_sends_too_much_is_stopped_and_one_that_plays_is_not() -> None:
    playing, flooding = Budget(0.0), Budget(0.0)
    assert all(playing.take(i / 120) for i in range(10_000))
    assert not all(flooding.take(i / 10_000) for i in range(10_000))


def test_a_tap_keeps_its_moment_however_late_it_comes_and_however_clocks_drift() -> None:
    chance, clients = random.Random(5), Clients(Preview(None), lambda *_: None)  # type: ignore[arg-type] # looks at nothing
    server = Server(None, ("", None), clients, None, Path(), None)  # type: ignore[arg-type] # answers nobody
    for drift in (-1e-4, 0.0, 1e-4):
        wrong = []
        for i in range(20_000):  # hours
            pressed = 1000.0 + 0.5 * i
            there = 7e5 + pressed * (1 + drift)  # by the phone's clock
            came = pressed + chance.choice([0.004, 0.005, 0.03, 0.2])
            wrong.append(abs(server._pressed(1, there, came) - pressed))
        server._early.clear()
        assert max(wrong[100:]) < 0.015


def test_a_secret_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page-secret"
    first = address.kept_secret(path)
    assert address.SECRET.fullmatch(first)
    assert address.kept_secret(path) == first
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("too short")
    assert address.kept_secret(path) != "too short"


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_every_address_means_those_of_ipv4_too() -> None:
    (every,) = address.listening("::", 0)
    socket.create_connection(("127.0.0.1", every.getsockname()[1])).close()
    every.close()


def test_a_port_in_use_is_a_sentence() -> None:
    (taken, *_) = address.listening("127.0.0.1", 0)
    with pytest.raises(ListenError, match="in use by another program"):
        address.listening("127.0.0.1", taken.getsockname()[1])
    taken.close()


def test_what_is_missing_for_the_page_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda name: None if name == "aiohttp" else True)
    with pytest.raises(
        ControlError, match=r"--page needs aiohttp: run `.* -m pip install .*\[page\]"
    ):
        Playing(tmp_path).__enter__()


# How it looks


def test_the_page_asks_nobody_else_for_anything() -> None:
    for name, file in FILES.items():
        text = file.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), name


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r'(?:src|href)="([\w.]+)"', FILES["index.html"].decode())
    for name, file in FILES.items():
        if name.endswith(".js"):
            named += re.findall(r'from "\./([\w.]+)"', file.decode())
    assert named
    assert set(named) | {"index.html"} == set(FILES)


@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        *((ink, ground) for ink in ("text", "dim") for ground in ("night", "slate", "raised")),
        ("text", "ember"),
        ("dim", "ember"),
        ("red", "night"),
        ("red", "slate"),
        ("amber", "ember"),
        ("amber", "slate"),
        ("text", "blood"),
    ],
)
def test_words_stand_out_from_their_ground(ink: str, ground: str) -> None:
    """The contrast that WCAG asks for in level AA."""
    css = FILES["style.css"].decode()

    def light(name: str) -> float:
        found = re.search(rf"--{name}: #(..)(..)(..);", css)
        assert found is not None
        parts = [int(each, 16) / 255 for each in found.groups()]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(ink), light(ground)))
    assert (high + 0.05) / (low + 0.05) >= 4.5


# Health


def test_health_follows_the_pictures() -> None:
    good = health.Times(100.0, 100.0, 100.0)
    state = {"fps": 30, "engine": "compiled"}
    assert health.line(good, state, 100.5)[0] == 200
    assert json.loads(health.line(good, state, 100.5)[1])["temperature_c"] is None  # not told
    for times, why in (
        (good._replace(picture=-np.inf, frame=-np.inf), "no picture has been shown yet"),
        (good._replace(ticked=90.0), "stood still"),
        (good._replace(picture=90.0), "no picture has been shown for 10 s"),
        (good._replace(frame=30.0), "no picture for 70 s"),
    ):
        status, text = health.line(times, state, 100.5)
        told = json.loads(text)
        assert (status, told["ok"]) == (503, False)
        assert why in told["trouble"]


def test_the_metrics_are_prometheus_text() -> None:
    state = {"fps": 30, "late": 2, "skipped": 1, "latency_ms": None}
    text = health.metrics(health.Times(1, 1, 1), state, 1.5)
    lines = text.splitlines()
    assert "lwlive_up 1" in lines
    assert "lwlive_fps 30" in lines
    assert "lwlive_late_total 2" in lines
    assert "lwlive_skipped_total 1" in lines
    for line in lines:
        assert line.startswith(("# HELP lwlive_", "# TYPE lwlive_")) or len(line.split()) == 2
    assert not any("prompt" in line or "latency" in line for line in lines)


# The server, in its process, with a show that plays


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Playing]:
    with Playing(tmp_path) as playing:
        yield playing


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """One show for all those who leave it as it was."""
    with Playing(tmp_path_factory.mktemp("still")) as playing:
        yield playing


def test_a_phone_steers_the_show_and_sees_it(show: Playing) -> None:
    async def play(phone: "Phone") -> None:
        await phone.hear(lambda: phone.value("prompt") == show.params.prompt)
        await phone.do("/lwlive/prompt", "gold")
        await phone.hear(lambda: phone.value("prompt") == "gold")
        await phone.say(look=True)
        await phone.hear(lambda: phone.sees(colour("gold")))
        await phone.do("/lwlive/fader/speed", 1)
        await phone.hear(lambda: phone.value("speed") == 4)

    with_a_phone(show, play)
    assert (show.params.prompt, show.params.speed) == ("gold", 4.0)
    assert show.page.summary()["applied"] == 2


def test_what_is_refused_is_told_to_whoever_asked(still: Playing) -> None:
    async def play(phone: "Phone") -> None:
        await phone.do("/lwlive/speed", 99)
        await phone.hear(lambda: "speed takes a number from 0 to 4" in phone.refusal)
        await phone.do("/lwlive/preset", "nowhere")  # found out by the show, later
        await phone.hear(lambda: "there is no preset 'nowhere'" in phone.refusal)

    with_a_phone(still, play)


@pytest.mark.slow
def test_nobody_is_sent_a_picture_who_does_not_look_and_none_is_encoded(still: Playing) -> None:
    async def play(phone: "Phone") -> None:
        await phone.listen(0.5)
        assert phone.pictures == 0
        assert still.page._board is not None
        assert still.page._board.looking == 0
        await phone.say(look=True)
        await phone.listen(2.0)
        assert 8 <= phone.pictures <= 2 * 16
        await phone.say(look=False)
        await phone.listen(0.3)
        seen = phone.pictures
        await phone.listen(0.4)
        assert phone.pictures == seen

    with_a_phone(still, play)


def test_a_phone_that_does_not_keep_up_is_sent_no_more_than_it_sees(still: Playing) -> None:
    async def play(phone: "Phone") -> None:
        phone.acknowledges = False
        await phone.say(look=True)
        await phone.listen(1.0)
        assert phone.pictures <= 2

    with_a_phone(still, play)


def test_the_twenty_first_hears_why_and_the_others_stay(still: Playing) -> None:
    async def crowd() -> None:
        async with aiohttp.ClientSession() as session:
            url = f"{still.address.url}ws"
            those = [await session.ws_connect(url) for _ in range(CLIENTS)]
            for one in those:
                assert "surface" in (await one.receive_json())
            late = await session.ws_connect(url)
            assert "20 people" in (await late.receive_json())["full"]
            assert (await late.receive()).type is aiohttp.WSMsgType.CLOSE
            await those[0].close()
            await asyncio.sleep(0.2)
            again = await session.ws_connect(url)
            assert "surface" in (await again.receive_json())

    asyncio.run(crowd())


@pytest.mark.slow
def test_health_and_the_metrics_have_the_machines_figures(show: Playing) -> None:
    url = f"http://127.0.0.1:{show.address.port}"
    until(lambda: fetched(f"{url}/health")[0] == 200)
    until(lambda: json.loads(fetched(f"{url}/health")[1])["memory_mb"])
    told = json.loads(fetched(f"{url}/health")[1])
    metrics = fetched(f"{url}/metrics")[1]
    for name in ("since_start_s", "restarts", "late_minute", "memory_mb", "disk_free_mb"):
        assert isinstance(told[name], int | float), name
        assert f"\nlwlive_{name} " in metrics
    assert told["memory_mb"] > 10
    assert told["disk_free_mb"] > 10


@pytest.mark.slow
def test_a_process_that_dies_is_started_again_at_the_same_address(show: Playing) -> None:
    url = f"http://127.0.0.1:{show.address.port}/health"
    until(lambda: fetched(url)[0] == 200)
    os.kill(served_by(show).pid, signal.SIGKILL)
    until(lambda: any("the page stopped" in text for text in show.said))
    until(lambda: fetched(url)[0] == 200)
    assert show.playing


@pytest.mark.slow
def test_a_process_that_hangs_costs_the_show_nothing(show: Playing) -> None:
    page = served_by(show)
    page.suspend()
    before = show.show.report.figures.ticks
    time.sleep(1.0)
    page.resume()
    assert show.show.report.figures.ticks - before >= 10  # were it waited for, there would be none


@pytest.mark.slow
def test_health_says_503_as_soon_as_there_are_no_pictures(show: Playing) -> None:
    url = f"http://127.0.0.1:{show.address.port}/health"
    until(lambda: fetched(url)[0] == 200)
    show.supply.standing = True
    until(lambda: fetched(url)[0] == 503, 8)
    assert "no picture has been shown for" in fetched(url)[1]
    show.supply.standing = False
    until(lambda: fetched(url)[0] == 200)


@pytest.mark.slow
def test_where_the_secret_is_wrong_there_is_nothing_to_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with Playing(tmp_path, page_host="0.0.0.0", osc=False) as show:
        where = f"http://127.0.0.1:{show.address.port}"
        secret = show.address.secret
        assert secret is not None
        assert fetched(f"{where}/page/{secret}/")[0] == 200
        answers = {
            fetched(f"{where}{path}")
            for path in (
                "/",
                "/page/",
                "/page/wrong/",
                f"/page/{secret[:-1]}/",
                f"/page/{secret}x/ws",
                f"/page/{secret}",
                "/lwlive/speed",
                "/?HOST_INFO",
                "/page/../../etc/passwd",
                "/static/page.js",
            )
        }
        assert answers == {(403, "nothing here\n")}
        by_name = {"Host": "visuals.venue.example"}  # whoever has the secret may use any name
        assert fetched(f"{where}/page/{secret}/", headers=by_name)[0] == 200
        assert fetched(f"{where}/health", headers=by_name)[0] == 200
        for path in ("/", "/page/", f"/page/{secret}x/"):
            assert fetched(f"{where}{path}", headers=by_name)[0] == 403
        assert fetched(f"{where}/health")[0] == 200
        for name in ("/health", "/metrics"):
            assert show.params.prompt not in fetched(f"{where}{name}")[1]
        show.say("the last line")
        until(lambda: "the last line" in show.log)
        assert f"the page is on port {show.address.port}" in show.log
        assert secret not in show.log
        assert secret not in str(show.recent.lines())


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, 405),
        ("DELETE", {}, 405),
        ("OPTIONS", {}, 405),
        ("GET", {"Host": "evil.example"}, 403),
        ("GET", {"Origin": "http://evil.example"}, 403),
    ],
)
def test_other_sites_and_other_methods_get_nothing(
    still: Playing, method: str, headers: dict[str, str], status: int
) -> None:
    assert fetched(still.address.url, method, headers)[0] == status
    assert fetched(f"{still.address.url}ws", method, headers)[0] == status


def test_no_path_leads_out_of_the_page(still: Playing) -> None:
    names = ("../page.py", "..%2fpage.py", "preset/../../etc/passwd", "preset/..%2fgold.jpg", "%00")
    for name in names:
        assert fetched(f"{still.address.url}{name}")[0] == 404
    assert fetched(f"{still.address.url}preset/gold.jpg")[0] == 200


@pytest.mark.slow
def test_lwlive_page_serves_a_show_on_ember_and_ends_with_it(tmp_path: Path) -> None:
    flags = ["--headless", "--page", "--page-port", "0", "--osc-port", "0", "--no-compile"]
    command = [sys.executable, "-m", "lwlive", *flags, "--no-midi", "--folder", str(tmp_path)]
    show = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert show.stderr is not None
        found = (re.search(r"the page is at (\S+)/page/", line) for line in show.stderr)
        where = next(one[1] for one in found if one is not None)
        until(lambda: fetched(f"{where}/health")[0] == 200, 90)
        assert "lwlive" in fetched(f"{where}/page/")[1]
        assert json.loads(fetched(f"{where}/lwlive/speed?VALUE")[1]) == {"VALUE": [0.25]}
        show.terminate()
        assert show.wait(30) == 0
    finally:
        show.kill()
        show.wait()
    assert fetched(f"{where}/health")[0] == 0


@pytest.mark.slow
def test_a_client_that_reads_nothing_is_dropped(show: Playing) -> None:
    board = show.page._board
    assert board is not None
    with socket.create_connection(("127.0.0.1", show.address.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(
            f"GET {show.address.path}ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        deaf.sendall(b"\x81\x8e\0\0\0\0" + b'{"look": true}')  # a frame, masked by nothing
        until(lambda: board.looking == 1)
        until(lambda: board.there == 0, 20)
    assert board.looking == 0


@pytest.mark.slow
def test_nothing_is_left_of_a_show_that_is_killed(tmp_path: Path) -> None:
    code = """if __name__ == "__main__":
        import sys, time
        from pathlib import Path
        from playing import Playing
        with Playing(Path(sys.argv[1])) as show:
            print(show.page.pid, show.page._board.handle.name, flush=True)
            time.sleep(60)
    """
    file = tmp_path / "killed.py"
    file.write_text(textwrap.dedent(code))
    command = [sys.executable, str(file), str(tmp_path)]
    folders = os.pathsep.join(map(str, (Path(__file__).parent, ROOT)))
    there = os.environ | {"PYTHONPATH": folders}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=there) as show:
        assert show.stdout is not None
        pid, name = show.stdout.readline().split()
        show.kill()
    until(lambda: not psutil.pid_exists(int(pid)))
    assert not Path("/dev/shm", name).exists()


@pytest.mark.slow
def test_a_storm_of_strangers_leaves_the_show_as_it_was(show: Playing) -> None:
    """10,000 requests and messages, huge bodies, 100 connections, readers that read nothing."""
    chance = random.Random(7)
    port, url = show.address.port, show.address.url
    mute = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    page = served_by(show)

    async def storm() -> None:
        timeout = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            deaf = await session.ws_connect(f"{url}ws")
            await deaf.send_str('{"look": true}')  # and never reads
            for i in range(1000):
                path = "/" + "".join(chance.choices("abc/%2.?=&\\\0é", k=chance.randrange(30)))
                try:
                    body = b"x" * 300_000 if i % 100 == 0 else None
                    method = chance.choice(["GET", "GET", "POST", "PUT"])
                    where = f"http://127.0.0.1:{port}{path}"
                    async with session.request(method, where, data=body) as answer:
                        assert answer.status < 500
                except (aiohttp.ClientError, ValueError):
                    pass
            for i in range(30):  # none so many that it is stopped for that
                wild = await session.ws_connect(f"{url}ws")
                try:
                    for _ in range(300):
                        await wild.send_str(nonsense(chance))
                    if i % 10 == 0:
                        await wild.send_str("x" * 100_000)
                except (aiohttp.ClientError, ConnectionError):
                    pass
                await wild.close()
                if i == 3:
                    await asyncio.sleep(0.5)
                    measured.append(page.memory_info().rss)

    measured: list[int] = []
    for one in mute:
        one.sendall(b"GET /page/ HTT" + bytes(chance.choices(range(256), k=40)))
    before = show.show.report.figures.ticks
    start = time.monotonic()
    asyncio.run(storm())
    seconds = time.monotonic() - start
    for one in mute:
        one.close()
    assert show.playing
    assert show.show.report.figures.ticks - before > 0.8 * 30 * seconds
    assert page.is_running()
    assert page.memory_info().rss - measured[0] < 12 * 2**20
    for name, spec in SPECS.items():  # whatever they have set, the checks have let in
        assert spec.checked(getattr(show.params, name)) == getattr(show.params, name)
    until(lambda: fetched(f"http://127.0.0.1:{port}/health")[0] == 200)


def served_by(show: Playing) -> psutil.Process:
    """The page's process."""
    assert show.page.pid is not None
    return psutil.Process(show.page.pid)


def nonsense(chance: random.Random) -> str:
    """A message that a stranger might send."""
    row = chance.choice([*listened()])
    value: Any = chance.choice([float("nan"), 1e308, -1, "x" * 600, None, [], {}, True, 0.5, "on"])
    words = chance.choice(
        [
            [row, value],
            [row, value, value],
            [value],
            value,
            {"do": value},
        ]
    )
    return chance.choice([json.dumps({"do": words}), json.dumps(words), "{", "\0", '{"look": 7}'])


def test_its_process_starts_with_the_first_tick_and_later_where_it_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before it, the cores are for what the audience sees."""
    started: list[str] = []
    said: list[str] = []

    def start(_order: Any) -> Any:
        started.append("process")
        raise OSError("none in a test")

    order: Any = lambda handle: handle  # noqa: E731
    page = page_module.Page(order, Size(32, 32), said.append, Recent([]), start)
    status: Any = None
    page.poll(0.0)
    time.sleep(0.05)
    assert not started

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", refuse)
        page.tell(status, {}, 1.0)
        page.tell(status, {}, 2.0)
    assert said == ["there is no page yet: can't start new thread; it is tried again"]
    assert not started
    page.tell(status, {}, 100.0)
    until(lambda: bool(started))
    page.close()


class Phone:
    """Somebody with the page open, as far as the server can tell."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.state: dict[str, Any] = {"values": {}, "parts": {}}
        self.pictures, self.picture, self.refusal = 0, b"", ""
        self.acknowledges = True

    def value(self, name: str) -> Any:
        return self.state["values"].get(name)

    async def say(self, **message: Any) -> None:
        await self._socket.send_json(message)

    async def do(self, *words: Any) -> None:
        await self.say(do=words, at=time.monotonic())

    async def listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                await self._take(left)
            except TimeoutError:
                return

    async def hear(self, true: Callable[[], bool], seconds: float = 40.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            await self._take(end - time.monotonic())

    async def _take(self, seconds: float) -> None:
        came = await self._socket.receive(timeout=max(0.01, seconds))
        if came.type is aiohttp.WSMsgType.BINARY:
            self.pictures += 1
            self.picture = came.data
            if self.acknowledges:
                await self.say(seen=1)
        elif came.type is aiohttp.WSMsgType.TEXT:
            news = json.loads(came.data, parse_constant=lambda name: pytest.fail(name))
            self.refusal = news.get("no", self.refusal)
            for name, value in news.items():
                if name in ("values", "parts"):
                    self.state[name].update(value)
                else:
                    self.state[name] = value
        else:
            raise AssertionError(f"the server ended it: {came}")

    def sees(self, wanted: tuple[int, int, int]) -> bool:
        if not self.picture:
            return False
        found = np.asarray(Image.open(io.BytesIO(self.picture)))
        return found.shape == (SIDE, SIDE, 3) and bool(
            np.abs(found.mean(axis=(0, 1)) - np.array(wanted)).max() < 6
        )


def with_a_phone(show: Playing, play: Callable[[Phone], Awaitable[None]]) -> None:
    async def session() -> None:
        async with (
            aiohttp.ClientSession() as browser,
            browser.ws_connect(f"{show.address.url}ws") as socket,
        ):
            await play(Phone(socket))

    asyncio.run(session())


def fetched(
    url: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, str]:
    async def fetch() -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, headers=headers) as answer,
        ):
            text = await answer.text(errors="replace")
            return answer.status, text

    try:
        return asyncio.run(fetch())
    except aiohttp.ClientError:
        return 0, ""
