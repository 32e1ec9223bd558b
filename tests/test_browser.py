"""The page in a real browser, Chromium: what a finger does reaches the show, and back."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeEars
from playing import Playing, colour, until
from playwright.sync_api import Browser, Page, expect, sync_playwright

from lwlive.commands import Command, Fire, Learn, Offer, Switch
from lwlive.cuelist import load
from lwlive.params import SPECS, TRIGGERS
from lwlive.stage.sources.midi.child import Heard, Ports
from lwlive.stage.sources.page import page as part
from lwlive.stage.sources.page.state import written
from lwlive.tempo import Tempo

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
PATIENCE_S = 40.0  # on a machine that has much else to do
DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed, so no page can be opened (Debian: chromium)")
    expect.set_options(timeout=1000 * PATIENCE_S)
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def show(tmp_path: Path) -> Iterator[Playing]:
    with Playing(tmp_path) as playing:
        yield playing


def opened(browser: Browser, show: Playing, **device: Any) -> Page:
    """The page in a browser of its own, connected. What goes wrong in it fails the test."""
    page = browser.new_context(**device).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"the page fails: {error}"))
    page.goto(show.address.url)
    expect(page.locator("body:not(.offline)")).to_be_attached()
    expect(page.locator("#bar-speed")).to_be_attached()
    return page


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).tap()


def middle(page: Page) -> list[int]:
    """The colour in the middle of the preview."""
    script = """() => {
        const image = document.getElementById("picture"), canvas = document.createElement("canvas");
        if (!image.naturalWidth) return [0, 0, 0];
        canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
        const pen = canvas.getContext("2d");
        pen.drawImage(image, 0, 0);
        return [...pen.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data].slice(0, 3);
    }"""
    found: list[int] = page.evaluate(script)
    return found


def near(found: list[int], wanted: tuple[int, int, int]) -> bool:
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True)) < 8


def seen(page: Page, wanted: tuple[int, int, int]) -> None:
    """Wait until the preview has a colour."""
    end = time.monotonic() + PATIENCE_S
    while not near(middle(page), wanted):
        assert time.monotonic() < end, f"{middle(page)} is not {wanted}"
        page.wait_for_timeout(50)


def shows(page: Page, true: Any) -> None:
    """Wait until the show has heard; the browser goes on meanwhile."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "the show has not heard it"
        page.wait_for_timeout(20)


@pytest.mark.parametrize("device", [PHONE, DESK], ids=["phone", "desk"])
def test_a_prompt_that_is_typed_changes_the_picture(
    browser: Browser, show: Playing, device: dict[str, Any]
) -> None:
    page = opened(browser, show, **device)
    seen(page, colour(show.params.prompt))
    field = page.get_by_label("prompt", exact=True)
    field.fill("gold rings")
    assert show.params.prompt != "gold rings"
    page.get_by_role("button", name="Bend there").click()
    shows(page, lambda: show.params.prompt == "gold rings")
    seen(page, colour("gold rings"))
    page.get_by_role("button", name="blueberry spaghetti").click()  # from before
    seen(page, colour("blueberry spaghetti"))
    assert show.params.prompt == "blueberry spaghetti"


def test_a_mouse_moves_a_fader_to_where_it_clicks(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **DESK)
    box = page.locator(".fader", has=page.locator("#bar-speed")).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    shows(page, lambda: abs(show.params.speed - SPECS["speed"].value(0.5)) < 0.02)  # type: ignore[operator] # a number


def test_a_finger_drags_a_fader_from_where_it_is(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    before = SPECS["speed"].position(show.params.speed)
    dragged(page, "speed", 0.25)
    shows(page, lambda: abs(SPECS["speed"].position(show.params.speed) - before - 0.25) < 0.03)


def test_a_finger_that_scrolls_moves_no_fader(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    version = show.controls.snapshot.version
    dragged(page, "speed", 0.0, 0.6)
    page.locator("#bar-guidance").locator("..").tap()
    page.wait_for_timeout(300)
    assert show.controls.snapshot.version == version


def test_a_fader_under_a_finger_is_not_moved_by_another_hand(
    browser: Browser, show: Playing
) -> None:
    page = opened(browser, show, **PHONE)
    touch = Touch(page, "speed")
    touch.down()
    touch.to(0.1)
    page.wait_for_timeout(200)
    held = touch.position()
    show.desk.controls.load({"speed": 4.0})
    page.wait_for_timeout(400)
    assert touch.position() == held
    touch.up()
    end = time.monotonic() + 5
    while touch.position() < 0.99:  # what the other hand set is what counts in the end
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def test_what_another_hand_moves_moves_here(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    show.desk.controls.load({"speed": 1.0, "prompt": "smoke", "hold": True})
    expect(page.locator("#bar-speed")).to_have_value("0.5")
    expect(page.get_by_label("prompt", exact=True)).to_have_value("smoke")
    expect(page.get_by_role("switch", name="hold")).to_be_checked()


def test_a_number_may_be_typed_and_what_is_wrong_with_it_is_said(
    browser: Browser, show: Playing
) -> None:
    page = opened(browser, show, **DESK)
    for text, said in (("1.5", None), ("99", "speed takes a number from 0 to 4 keyframes/s")):
        page.get_by_role("button", name="speed, type a value").click()
        page.get_by_label("speed, a value").fill(text)
        page.keyboard.press("Enter")
        if said is None:
            shows(page, lambda: show.params.speed == 1.5)
        else:
            expect(page.get_by_role("alert")).to_contain_text(said)
    assert show.params.speed == 1.5


def test_every_parameter_and_trigger_is_there_and_has_a_name(
    browser: Browser, show: Playing
) -> None:
    page = opened(browser, show, **DESK)
    for name, spec in SPECS.items():
        label = name.replace("_", " ")
        role = {str: "textbox", bool: "switch"}.get(spec.kind, "slider")
        role = "combobox" if name in ("morph_a", "morph_b") else role  # names of presets
        expect(page.get_by_role(role, name=label, exact=True)).to_have_count(1)  # type: ignore[arg-type] # a role
    for name in TRIGGERS:
        assert page.locator(f"button.{name}, #pad[title]").count(), name
    unnamed = page.evaluate(
        "() => [...document.querySelectorAll('button, select, input, textarea')].filter((each) =>"
        " !each.closest('[hidden]') && !each.textContent.trim() && !each.ariaLabel &&"
        " !(each.labels && each.labels.length)).map((each) => each.outerHTML)"
    )
    assert unnamed == []


def test_keys_alone_are_enough(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **DESK)
    before = show.params.speed
    page.locator("#bar-speed").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    shows(page, lambda: show.params.speed > before)
    page.get_by_role("switch", name="blackout").focus()
    page.keyboard.press("Space")
    shows(page, lambda: show.params.blackout)


def test_blackout_and_panic_are_in_reach_on_every_tab(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    for name in ("Play", "Looks", "Time", "Room", "State"):
        tab(page, name)
        for button in ("blackout", "panic"):
            box = page.locator(f"#always .{button}").bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= 844
            assert min(box["width"], box["height"]) >= 44
    page.locator("#always .blackout").tap()
    shows(page, lambda: show.params.blackout)
    seen(page, (0, 0, 0))
    page.locator("#always .panic").tap()
    shows(page, lambda: not show.params.blackout)


def test_everything_that_is_touched_is_as_large_as_a_thumb(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    for name in ("Play", "Looks", "Time", "Room", "State"):
        tab(page, name)
        small = page.evaluate(
            "() => [...document.querySelectorAll('button, select, summary, textarea')]"
            ".filter((each) => each.offsetParent && each.getBoundingClientRect().height < 44)"
            ".map((each) => each.outerHTML.slice(0, 90))"
        )
        assert small == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_presets_have_their_pictures_and_bend_the_show(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    tab(page, "Looks")
    gold = page.get_by_role("button", name="gold", exact=True)
    expect(gold).to_be_visible()
    width = "(image) => image.decode().then(() => image.naturalWidth)"
    assert gold.locator("img").evaluate(width) > 0
    gold.tap()
    shows(page, lambda: "gold" in show.params.prompt)
    page.get_by_label("morph a").select_option("tunnel")
    shows(page, lambda: show.params.morph_a == "tunnel")


def test_taps_go_to_the_show_with_the_moment_of_the_finger(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    tab(page, "Time")
    asked: list[float] = []
    take = show.page._take
    show.page._take = lambda batch: (asked.extend(one.at for one in batch), take(batch))[1]  # type: ignore[method-assign,func-returns-value] # to look at it
    pad = page.get_by_role("button", name="tap the tempo")
    moments = []
    for _ in range(4):
        page.wait_for_timeout(300)
        moments.append(time.perf_counter())
        pad.dispatch_event("pointerdown")
    shows(page, lambda: len(asked) == 4)
    for at, moment in zip(asked, moments, strict=True):
        assert abs(at - moment) < 0.25


def test_the_tempo_beats_on_the_page(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    tab(page, "Time")
    expect(page.locator("#pad b")).to_contain_text("120.0")
    now = time.perf_counter()
    show.desk.controls.do(Offer(Tempo(60.0, 0.0, now, "test")))
    expect(page.locator("#pad b")).to_contain_text("60.0")
    beat = "() => new Promise((done) => requestAnimationFrame(() => done("
    beat += "[...document.querySelectorAll('#pad i')].findIndex((each) => each.className))))"
    found = set()
    while time.perf_counter() < now + 4:
        found.add(page.evaluate(beat))
        page.wait_for_timeout(60)
    assert {0, 1, 2, 3} <= found


def test_a_route_is_made_moved_and_taken_away(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    tab(page, "Time")
    page.locator("summary").tap()
    page.get_by_label("moves").select_option("depth")
    page.get_by_label("by").select_option("triangle")
    page.get_by_label("every").fill("8")
    page.get_by_role("button", name="Add the route").tap()
    shows(page, lambda: len(show.controls.snapshot.routes) == 1)
    (route,) = show.controls.snapshot.routes
    assert (route.name, route.amount) == ("depth", 0.25)
    expect(page.get_by_role("slider", name="depth · triangle, 8 beats")).to_be_attached()
    page.get_by_role("button", name="take route 1 away").tap()
    shows(page, lambda: not show.controls.snapshot.routes)


def test_cues_outputs_and_learning_are_there_where_the_show_has_them(
    browser: Browser, show: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {"outputs": {"ndi": False}, "parts": {"midi": {"ports": ["pads"]}}}
    told["cue"] = {
        "number": 2,
        "name": "dawn",
        "next_number": 3,
        "next_name": "noon",
        "note": "when she turns round",
        "until_s": 12.3,
        "count": 5,
    }

    def with_more(*state: Any) -> bytes:
        return json.dumps(json.loads(written(*state)) | told).encode()

    monkeypatch.setattr(part, "written", with_more)
    asked: list[Command] = []
    monkeypatch.setattr(show.page, "_take", lambda batch: asked.extend(a.command for a in batch))
    page = opened(browser, show, **PHONE)
    tab(page, "Looks")
    cues = page.locator("#cues")
    for text in ("cue 2 of 5", "dawn", "go leads to noon, in 13 s", "when she turns round"):
        expect(cues).to_contain_text(text, ignore_case=True)
    cues.get_by_role("button", name="go").tap()
    cues.get_by_role("button", name="back").tap()
    tab(page, "Room")
    page.get_by_role("switch", name="ndi").tap()
    page.get_by_role("button", name="learn brightness from a MIDI controller").tap()
    wanted = [Fire("go"), Fire("back"), Switch("ndi", True), Learn("brightness")]
    shows(page, lambda: len(asked) == len(wanted))
    assert asked == wanted
    told["learning"], told["outputs"] = "brightness", {"ndi": True}
    expect(page.get_by_role("switch", name="ndi")).to_be_checked()
    expect(page.get_by_role("alert")).to_contain_text("it becomes brightness")


CUES = """
[[cues]]
name = "dawn"
prompt = "mist on a lake"
seconds = 0

[[cues]]
name = "noon"
prompt = "white heat"
seconds = 0
note = "when she turns round"

[[cues]]
name = "night"
prompt = "stars"
seconds = 0
"""


def test_a_show_with_cues_a_stream_and_midi_is_played_from_a_phone(
    browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "evening.toml").write_text(CUES)
    cues, ears = load(tmp_path / "evening.toml", tmp_path), FakeEars()
    ears.waiting = [Ports("test", ("Pads:out",), (), ("Pads:out",), "")]
    stream = tmp_path / "hall.m3u8"
    with Playing(tmp_path, cues=cues, ears=ears, stream=[str(stream)]) as show:
        page = opened(browser, show, **PHONE)
        tab(page, "Looks")
        steps = page.locator("#cues")
        go, back = (steps.get_by_role("button", name=name, exact=True) for name in ("go", "back"))
        for name, prompt, ahead in (
            ("dawn", "mist on a lake", ("go leads to noon", "when she turns round")),
            ("noon", "white heat", ("go leads to night",)),
            ("night", "stars", ("this is the last",)),
        ):
            go.tap()
            expect(steps.locator("b")).to_have_text(name)
            for text in ahead:
                expect(steps).to_contain_text(text)
            seen(page, colour(prompt))
        back.tap()
        expect(steps.locator("b")).to_have_text("noon")
        seen(page, colour("white heat"))

        tab(page, "Time")
        expect(page.locator("#bands")).to_be_hidden()
        show.desk.bands = (0.8, 0.4, 0.2, 0.6, 0.9, 0.3)  # as the sound's source has it
        expect(page.locator("#bands li").first).to_have_attribute("style", "--at: 0.80;")

        tab(page, "Room")
        switch = page.get_by_role("switch", name="stream")
        expect(switch).to_be_checked()
        shows(page, stream.is_file)
        switch.tap()
        expect(switch).not_to_be_checked()
        shows(page, lambda: "#EXT-X-ENDLIST" in stream.read_text())
        switch.tap()
        expect(switch).to_be_checked()
        shows(page, lambda: "#EXT-X-ENDLIST" not in stream.read_text())

        learn = page.get_by_role("button", name="learn brightness from a MIDI controller")
        learn.tap()
        expect(learn).to_have_attribute("aria-pressed", "true")
        for value in range(40, 60, 4):
            fader(ears, value)
            page.wait_for_timeout(50)
        expect(learn).to_have_attribute("aria-pressed", "false")
        for value in range(60, 128):  # through where it is now, and to the end
            fader(ears, value)
            page.wait_for_timeout(20)
        fader(ears, 0)
        shows(page, lambda: show.params.brightness == 0)
        expect(page.locator("#bar-brightness")).to_have_value("0")


def fader(ears: FakeEars, value: int) -> None:
    """Somebody moves the fader of a MIDI box."""
    ears.waiting = [Heard([("Pads:out", bytes((0xB0, 7, value)), time.perf_counter())])]


def test_the_log_is_there_with_what_was_before_and_grows_and_names_no_secret(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "show.log"
    file.write_text("2026-11-25 23:59:58,120 WARNING lwlive.x: the disk is slow\n" * 120)
    with Playing(tmp_path, page_host="0.0.0.0") as show:
        assert show.address.secret is not None
        page = opened(browser, show, **DESK)
        lines = page.locator("#log li:not(.day)")
        expect(lines.first).to_have_text("23:59:58the disk is slow")
        expect(page.locator("#log .day").first).to_have_text("2026-11-25")
        expect(lines.filter(has_text="the first picture")).to_have_text(re.compile("^..:..:..the"))
        last = "a lamp has burnt out"
        show.say(last)
        expect(lines.filter(has_text=last)).to_have_count(1)
        until(lambda: last in show.log)
        assert lines.count() == 100
        said = [
            line.partition(" lwlive")[2].partition(": ")[2] or line
            for line in show.log.splitlines()
        ]
        shown = [text[8:] if text[2] == ":" else text for text in lines.all_inner_texts()]
        assert said[: said.index(last)][-90:] == shown[: shown.index(last)][-90:]
        assert show.address.secret not in page.locator("#log").inner_text()


def test_a_server_that_is_lost_is_found_again(
    browser: Browser, show: Playing, tmp_path: Path
) -> None:
    page = opened(browser, show, **PHONE)
    show.desk.end()
    expect(page.get_by_role("status").first).to_contain_text("no connection, trying again")
    assert page.locator("#panels").evaluate("(each) => each.inert")
    show._thread.join()
    show._stack.close()
    port = show.address.port
    with Playing(tmp_path, page_port=port) as again:
        again.desk.controls.load({"prompt": "smoke"})
        expect(page.locator("#link")).to_have_text("connected", timeout=15_000)
        expect(page.get_by_label("prompt", exact=True)).to_have_value("smoke")
        seen(page, colour("smoke"))


def test_a_hidden_page_costs_no_pictures(browser: Browser, show: Playing) -> None:
    page = opened(browser, show, **PHONE)
    board = show.page._board
    assert board is not None
    shows(page, lambda: board.looking == 1)
    page.evaluate(
        "() => { Object.defineProperty(document, 'visibilityState', { value: 'hidden' });"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    shows(page, lambda: board.looking == 0)
    page.close()
    until(lambda: board.there == 0)


class Touch:
    """A finger on a fader, by the browser's own input."""

    def __init__(self, page: Page, name: str) -> None:
        self._page, self._bar = page, page.locator(".fader", has=page.locator(f"#bar-{name}"))
        self._bar.scroll_into_view_if_needed()
        box = self._bar.bounding_box()
        assert box is not None
        self._x, self._y, self._width = box["x"] + 60, box["y"] + box["height"] / 2, box["width"]
        self._session = page.context.new_cdp_session(page)

    def _send(self, kind: str, points: list[dict[str, float]]) -> None:
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def down(self) -> None:
        self._send("touchStart", [{"x": self._x, "y": self._y}])

    def to(self, along: float, down: float = 0.0) -> None:
        for i in range(1, 9):
            x, y = self._x + along * self._width * i / 8, self._y - down * self._width * i / 8
            self._send("touchMove", [{"x": x, "y": y}])
            self._page.wait_for_timeout(20)

    def up(self) -> None:
        self._send("touchEnd", [])

    def position(self) -> float:
        return float(self._bar.locator("input[type=range]").input_value())


def dragged(page: Page, name: str, along: float, down: float = 0.0) -> None:
    touch = Touch(page, name)
    touch.down()
    touch.to(along, down)
    touch.up()
