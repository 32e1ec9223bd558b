"""OSCQuery: the tree tells what OSC takes; foreign clients read it, and a WebSocket listens."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playing import Playing, until
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import build_msg

from lwlive.params import Params
from lwlive.stage.sources.osc.addresses import heard, listened
from lwlive.stage.sources.page import oscquery

VALUES: dict[str, Any] = {**vars(Params(guidance=1.0, steps=1)), "fps": 30, "engine": "compiled"}
TREE = oscquery.tree(VALUES, ["gold", "tunnel"])


def leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything in a tree that has a value or takes one."""
    if "CONTENTS" not in node:
        yield node
    for inner in node.get("CONTENTS", {}).values():
        yield from leaves(inner)


def at(path: str) -> dict[str, Any]:
    status, node = oscquery.answer(TREE, path, "")
    assert status == 200
    assert node is not None
    return node


def test_every_address_of_osc_is_in_the_tree() -> None:
    paths = {leaf["FULL_PATH"] for leaf in leaves(TREE)}
    assert listened().keys() <= paths
    assert {f"/lwlive/status/{name}" for name in VALUES} <= paths


def test_what_the_tree_says_of_a_value_osc_takes() -> None:
    rows = listened()
    for leaf in leaves(TREE):
        row = rows.get(leaf["FULL_PATH"])
        if row is None or "RANGE" not in leaf:
            continue
        ranges = leaf["RANGE"]
        takes = [(r["MIN"], r["MAX"]) if "MIN" in r else r["VALS"] for r in ranges]
        for values in itertools.product(*takes):
            command, more = heard(row, list(values))
            assert command is not None
            assert not more


def test_attributes_have_an_entry_for_each_letter_of_the_type() -> None:
    for leaf in leaves(TREE):
        many = len(leaf["TYPE"])
        assert many == (2 if leaf["FULL_PATH"] == "/lwlive/preset" else 1)
        for name in ("VALUE", "RANGE", "CLIPMODE", "UNIT"):
            assert len(leaf.get(name, range(many))) == many, leaf
        assert leaf["ACCESS"] in (1, 2, 3)
        assert leaf["DESCRIPTION"]


def test_speed_is_described_whole() -> None:
    assert at("/lwlive/speed") == {
        "FULL_PATH": "/lwlive/speed",
        "TYPE": "f",
        "ACCESS": 3,
        "VALUE": [0.25],
        "RANGE": [{"MIN": 0.0, "MAX": 4.0}],
        "CLIPMODE": ["none"],
        "UNIT": ["keyframes/s"],
        "DESCRIPTION": "how fast the walk goes",
        "CRITICAL": False,
    }
    assert at("/lwlive/fader/speed")["CLIPMODE"] == ["both"]
    preset = at("/lwlive/preset")
    assert preset["TYPE"] == "sf"
    assert preset["RANGE"] == [{"VALS": ["gold", "tunnel"]}, {"MIN": 0.0, "MAX": 3600.0}]
    assert preset["UNIT"] == [None, "time.second"]
    assert at("/lwlive/next")["TYPE"] == "I"
    assert at("/lwlive/transition")["UNIT"] == ["time.second"]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/lwlive/speed", "VALUE", 200),
        ("/lwlive/prompt", "RANGE", 204),
        ("/lwlive/speed", "NONSENSE", 400),
        ("/lwlive/nowhere", "", 404),
        ("/lwlive/speed/deeper", "VALUE", 404),
        ("/", "CONTENTS", 200),
    ],
)
def test_a_question_has_the_status_of_the_proposal(path: str, query: str, status: int) -> None:
    found, answer = oscquery.answer(TREE, path, query)
    assert found == status
    assert (answer is not None) == (status == 200)
    assert status != 200 or list(answer or ()) == [query]


# With a show that plays


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Playing]:
    with Playing(tmp_path) as playing:
        yield playing


@pytest.mark.slow
def test_a_program_that_listens_hears_what_changes_until_it_ignores(show: Playing) -> None:
    async def listen() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{show.address.port}/") as listener,
        ):

            async def heard_next() -> tuple[str, Any]:
                came = OscMessage((await listener.receive(timeout=40)).data)
                return came.address, came.params[0]

            for path in ("/lwlive/speed", "/lwlive/fader/speed", "/lwlive/status/speed"):
                await listener.send_json({"COMMAND": "LISTEN", "DATA": path})
            first = dict([await heard_next() for _ in range(3)])
            assert first == {
                "/lwlive/speed": pytest.approx(0.25),
                "/lwlive/fader/speed": pytest.approx(0.25),
                "/lwlive/status/speed": pytest.approx(0.25),
            }
            for path in ("/lwlive/fader/speed", "/lwlive/status/speed"):
                await listener.send_json({"COMMAND": "IGNORE", "DATA": path})
            await asyncio.sleep(0.5)  # until it is ignored; there is no answer to that
            show.desk.controls.load({"speed": 2.0})
            assert await heard_next() == ("/lwlive/speed", pytest.approx(2.0))
            with pytest.raises(TimeoutError):
                await listener.receive(timeout=0.3)

    asyncio.run(listen())


@pytest.mark.slow
def test_osc_over_the_websocket_steers_the_show_and_is_checked(show: Playing) -> None:
    async def send() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{show.address.port}/") as program,
        ):
            await program.send_bytes(build_msg("/lwlive/speed", [99.0]).dgram)
            await program.send_bytes(build_msg("/lwlive/prompt", ["smoke"]).dgram)
            await program.send_bytes(b"#bundle\0" + b"\0" * 8 + b"\xff" * 4)
            await program.send_bytes(build_msg("/lwlive/depth", [0.5]).dgram)
            await asyncio.to_thread(until, lambda: show.params.depth == 0.5)

    asyncio.run(send())
    assert (show.params.prompt, show.params.speed) == ("smoke", 0.25)


@pytest.mark.slow
def test_a_foreign_client_finds_the_show_and_reads_it(show: Playing) -> None:
    """python-oscquery, a client of other people; zeroconf stays on the loopback interface."""
    from pythonoscquery.osc_query_client import OSCQueryClient
    from pythonoscquery.shared.osc_access import OSCAccess
    from zeroconf import IPVersion, Zeroconf

    from lwlive.stage.sources.page.announce import QUERY, announced

    assert show.osc_port is not None
    loop = asyncio.new_event_loop()
    port, osc_port = show.address.port, show.osc_port
    spoken = loop.run_until_complete(announced(port, osc_port, ["127.0.0.1"], ["127.0.0.1"]))
    browser = Zeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    try:
        name = f"lwlive {socket.gethostname().partition('.')[0]}.{QUERY}"
        found = _found(loop, browser, QUERY, name)
        assert found is not None
        assert found.port == port
        client = OSCQueryClient(found)
        info = client.get_host_info()
        assert info is not None
        assert (info.name, info.osc_port) == ("lwlive", osc_port)
        root = client.query_node("/")
        assert root is not None
        speed = client.query_node("/lwlive/speed")
        assert speed is not None
        assert speed.value == [0.25]
        assert speed.access is OSCAccess.READWRITE_VALUE
        assert client.query_node("/lwlive/nowhere") is None
        preset = client.query_node("/lwlive/preset")
        assert preset is not None
        assert preset.access is OSCAccess.WRITEONLY_VALUE
        assert preset.value == [None, None]  # a name and seconds
    finally:
        browser.close()
        loop.run_until_complete(spoken.async_close())
        loop.close()


def _found(loop: asyncio.AbstractEventLoop, browser: Any, kind: str, name: str) -> Any:
    """The service, while the announcer's loop answers."""
    asked = loop.run_in_executor(None, browser.get_service_info, kind, name, 5000)
    return loop.run_until_complete(asked)
