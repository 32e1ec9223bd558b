"""The feeds' laws: the show never waits, nothing is lost uncounted, what fails comes back."""

import threading
from typing import Any

import numpy as np
import pytest
from feeds import FPS, SIDE, Told, feed_of, number_in, numbered, picture, ticked, until
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive.checkpoint import Size
from lwlive.commands import Switch
from lwlive.params import ControlError
from lwlive.ring import Pixels
from lwlive.stage.outputs import feed as module
from lwlive.stage.outputs.feed import Feed, FeedError
from lwlive.stage.outputs.scaling import Scaling
from lwlive.stage.switches import Switches


class Ticks:
    """A show whose time passes only while pictures are put: one tick after the other.

    After each the feed's thread is waited for, so that its clock ticks inside the work.
    """

    def __init__(self, plan: dict[int, Exception] | None = None) -> None:
        self.now, self.said, self.seen = 0.0, list[str](), list[tuple[int, Any]]()
        self.sinks: list[Told] = []
        self.plan = plan or {}
        self.opens: list[Exception] = []  # what the next calls of `open` raise
        self.feed = feed_of(self._make, self.said, clock=lambda: self.now)
        self.tick = 0

    def _make(self) -> Told:
        sink = Told(self.seen, self.plan)
        if self.opens:
            error = self.opens.pop(0)

            def refuse() -> str:
                raise error

            sink.open = refuse  # type: ignore[method-assign]
        self.sinks.append(sink)
        return sink

    def play(self, ticks: int, on: bool = True) -> None:
        for _ in range(ticks):
            ticked(self.feed, picture(numbered(self.tick), self.tick, test=on))
            if on:
                until(lambda: self._over(), "the feed's thread has not taken the picture")
            self.tick += 1
            self.now += 1 / FPS

    def _over(self) -> bool:
        outbox = self.feed._outbox
        return outbox is not None and outbox._taken == outbox._done

    @property
    def account(self) -> int:
        return self.feed.sent + self.feed.dropped


def test_every_picture_arrives_in_its_order_while_it_is_on_and_none_while_it_is_off() -> None:
    show = Ticks()
    show.play(20)
    show.play(10, on=False)
    until(lambda: not show.feed._ending or show.feed._ending[0].over, "it does not end")
    show.play(15)
    show.feed.close()
    assert [n for n, _ in show.seen] == [*range(20), *range(30, 45)]
    assert [number_in(pixels) for _, pixels in show.seen] == [n for n, _ in show.seen]
    assert (show.feed.sent, show.feed.dropped) == (35, 0)
    assert [(sink.opened, sink.closed) for sink in show.sinks] == [(1, 1), (1, 1)]
    assert show.said[:2] == ["test: there", "test: off"]


def test_it_is_opened_before_there_is_a_picture_and_no_picture_is_lost_or_made_up() -> None:
    show = Ticks()
    show.opens = [ConnectionRefusedError(111, "Connection refused")]
    told = picture(numbered(0), 0, test=True).status
    show.feed.tell(told, {}, 0.0)
    until(lambda: show.feed.failures, "it was not tried")
    assert (show.account, show.seen) == (0, [])
    show.now += module.PAUSES_S[0]
    show.play(3)
    show.feed.close()
    assert ([n for n, _ in show.seen], show.account) == ([0, 1, 2], 3)


def test_pictures_are_handed_over_and_not_copied() -> None:
    show = Ticks()
    pixels = numbered(5)
    ticked(show.feed, picture(pixels, 0, test=True))
    until(lambda: show.seen, "nothing came")
    show.feed.close()
    assert show.seen[0][1] is pixels


def test_what_fails_is_said_once_tried_again_after_pauses_and_said_to_be_back() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    show = Ticks({40: BrokenPipeError(32, "Broken pipe")})
    show.play(40)
    show.opens = [refused, refused, refused]
    show.play(round(30 * FPS))
    show.feed.close()
    assert show.feed.failures == 4
    away = next(n for n, _ in show.seen if n > 40) - 40
    assert away / FPS == pytest.approx(sum(module.PAUSES_S), abs=0.2)
    assert show.account == show.tick
    assert show.said == [
        "test: there",
        "test has failed: Broken pipe; trying again",
        "test has failed: Connection refused; trying again",
        "test is back after 15 s: there",
    ]
    assert all(sink.closed == 1 for sink in show.sinks)


def test_what_will_never_work_is_not_tried_again_until_it_is_switched_on_again() -> None:
    show = Ticks()
    show.opens = [FeedError("it is not installed", lasting=True)]
    show.play(round(60 * FPS))
    assert len(show.sinks) == 1
    assert show.said == ["test: it is not installed"]
    show.play(1, on=False)
    until(lambda: not show.feed._ending or show.feed._ending[0].over, "it does not end")
    show.play(5)
    show.feed.close()
    assert show.feed.sent == 5
    assert show.account == show.tick - 1


def test_a_call_that_does_not_return_is_ended_and_the_show_never_waits() -> None:
    go, said, seen = threading.Event(), list[str](), list[tuple[int, Any]]()
    now = [0.0]

    class Stuck(Told):
        def show(self, pixels: Any, number: int) -> None:
            if not go.is_set():
                assert go.wait(60)
                raise BrokenPipeError(32, "Broken pipe")
            super().show(pixels, number)

        def abort(self) -> None:
            super().abort()
            go.set()

    sinks: list[Stuck] = []

    def make() -> Stuck:
        sinks.append(Stuck(seen, {}))
        return sinks[-1]

    feed = feed_of(make, said, clock=lambda: now[0])
    ticked(feed, picture(numbered(0), 0, test=True))
    until(lambda: feed._busy is not None, "it has not begun")
    for tick in range(1, round(module.STALL_S * FPS) + 2):
        now[0] = tick / FPS
        ticked(feed, picture(numbered(tick), tick, test=True))
        assert sinks[0].aborted == (now[0] >= module.STALL_S)
    assert feed.dropped > 100  # and `put` has returned each time
    until(lambda: feed.failures, "the call was not ended")
    until(lambda: feed._outbox and feed._outbox._taken == feed._outbox._done, "it is not empty")
    now[0] += module.PAUSES_S[0] + 0.1
    ticked(feed, picture(numbered(999), 999, test=True))
    until(lambda: seen, "it did not come back")
    feed.close()
    assert sinks[0].aborted == 1
    assert [n for n, _ in seen] == [999]
    assert "test stands still: nothing was taken for 5 s; trying again" in said


def test_one_that_waits_for_somebody_to_connect_may_wait() -> None:
    now, said = [0.0], list[str]()
    go = threading.Event()

    class Patient(Told):
        patient = True

        def open(self) -> str:
            assert go.wait(60)
            return super().open()

    seen: list[tuple[int, Any]] = []
    sink = Patient(seen, {})
    feed = feed_of(lambda: sink, said, clock=lambda: now[0])
    ticked(feed, picture(numbered(0), 0, test=True))
    until(lambda: feed._busy is not None, "it has not begun")
    now[0] = 3600.0
    ticked(feed, picture(numbered(1), 1, test=True))
    assert sink.aborted == 0
    go.set()
    until(lambda: len(seen) == 2, "it did not begin")
    feed.close()


def test_one_that_waits_for_somebody_to_connect_ends_when_it_is_switched_off() -> None:
    said: list[str] = []

    class Patient(Told):
        patient = True

        def open(self) -> str:
            assert go.wait(60)
            if self.aborted:
                raise OSError("aborted")
            return super().open()

        def abort(self) -> None:
            super().abort()
            go.set()

    seen: list[tuple[int, Any]] = []
    sinks: list[Patient] = []

    def make() -> Patient:
        go.clear()
        sinks.append(Patient(seen, {}))
        return sinks[-1]

    go = threading.Event()
    feed = feed_of(make, said, clock=lambda: 0.0)
    ticked(feed, picture(numbered(0), 0, test=True))
    until(lambda: feed._busy is not None, "it has not begun")
    ticked(feed, picture(numbered(1), 1, test=False))
    until(lambda: feed._ending[0].over, "it waits for somebody after it was switched off")
    assert sinks[0].aborted == 1
    ticked(feed, picture(numbered(2), 2, test=True))
    until(lambda: len(sinks) == 2 and feed._busy is not None, "it does not begin again")
    go.set()
    until(lambda: [n for n, _ in seen] == [2], "it does not send")
    feed.close()
    assert not [sentence for sentence in said if "stands still" in sentence]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["on", "off", "fail", "refuse"]), max_size=12))
def test_whatever_happens_every_picture_is_sent_or_counted(events: list[str]) -> None:
    show, put = Ticks(), 0
    for event in events:
        if event == "off":
            show.play(2, on=False)
            until(lambda: not show.feed._ending or show.feed._ending[0].over, "it does not end")
            show.play(1, on=False)
            continue
        if event == "fail":
            show.plan[show.tick + 1] = OSError(5, "Input/output error")
            if show.sinks:
                show.sinks[-1].plan.update(show.plan)
        if event == "refuse":
            show.opens.append(OSError(5, "Input/output error"))
        show.play(4)
        put += 4
    show.feed.close()
    assert show.account == put
    numbers = [n for n, _ in show.seen]
    assert numbers == sorted(set(numbers))


# Scaling


def noise(width: int, height: int) -> Pixels:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)


def test_a_picture_is_scaled_once_for_all_however_many_ask_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scaled: list[int] = []
    make = Scaling._scaled

    def counted(scaling: Scaling, pixels: Pixels) -> Pixels:
        scaled.append(1)
        return make(scaling, pixels)

    monkeypatch.setattr(Scaling, "_scaled", counted)
    scaling, found = Scaling(Size(192, 108)), list[Any]()
    threads = [
        threading.Thread(target=lambda: found.append(scaling.of(noise(64, 64), 7, "rgb24")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scaled) == 1
    assert all(one is found[0] for one in found)
    assert scaling.of(noise(64, 64), 7, "rgba").shape == (108, 192, 4)
    assert len(scaled) == 1


@pytest.mark.parametrize("fit", ["fill", "fit", "mirror"])
@pytest.mark.parametrize("size", [(192, 108), (108, 192), (100, 100), (64, 48)])
def test_another_shape_is_filled_as_the_window_fills_it(fit: Any, size: tuple[int, int]) -> None:
    pixels = np.full((64, 64, 3), (200, 30, 120), np.uint8)
    width, height = size
    made = Scaling(Size(*size), fit).of(pixels, 0, "rgb24")
    assert made.shape == (height, width, 3)
    seen = np.abs(made.astype(int) - (200, 30, 120)).max(axis=2) <= 3
    bars = (made == 0).all(axis=2)
    assert (seen | bars).all()
    shown = min(size) ** 2 if fit == "fit" else width * height
    assert seen.sum() == shown


def test_a_mirrored_picture_continues_at_its_edges() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :, 0] = np.arange(64) * 4
    made = Scaling(Size(128, 64), "mirror").of(pixels, 0, "rgb24")
    assert np.abs(np.diff(made[32, :, 0].astype(int))).max() <= 6


def test_where_nothing_is_asked_the_picture_is_left_as_it_is() -> None:
    pixels = noise(64, 64)
    assert Scaling().of(pixels, 0, "rgb24") is pixels
    assert Scaling(Size(64, 64)).of(pixels, 0, "rgb24") is pixels


def test_scaled_pictures_keep_their_light() -> None:
    """Lanczos rings at edges, but the mean of a picture stays."""
    pixels = noise(64, 64)
    made = Scaling(Size(256, 256)).of(pixels, 0, "rgb24")
    assert np.abs(made.mean(axis=(0, 1)) - pixels.mean(axis=(0, 1))).max() < 3


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 30, 120)])
def test_every_form_has_the_colours(colour: tuple[int, int, int]) -> None:
    pixels = np.full((SIDE, SIDE, 3), colour, np.uint8)
    scaling = Scaling()
    rgba = scaling.of(pixels, 0, "rgba")
    assert (rgba[..., :3] == colour).all()
    assert (rgba[..., 3] == 255).all()
    blue, luma, red = (int(scaling.of(pixels, 0, "uyvy422").reshape(-1)[i]) for i in range(3))
    y, u, v = (luma - 16) * 255 / 219, (blue - 128) * 255 / 224, (red - 128) * 255 / 224
    back = y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u  # ITU-R BT.709
    assert np.abs(np.array(back) - colour).max() <= 3
    yuv = scaling.of(pixels, 0, "yuv420p").reshape(-1)
    luma, blue, red = (int(yuv[at]) for at in (SIDE * SIDE // 2, SIDE * SIDE, SIDE * SIDE * 5 // 4))
    y, u, v = (luma - 16) * 255 / 219, (blue - 128) * 255 / 224, (red - 128) * 255 / 224
    back = y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u  # ITU-R BT.601
    assert np.abs(np.array(back) - colour).max() <= 3


# Switches


def test_a_switch_turns_one_output_and_an_unknown_name_changes_nothing() -> None:
    switches = Switches()
    switches.know("ndi", False)
    switches.know("stream", True)
    switches.do(Switch("ndi", True))
    assert switches.levels == {"ndi": True, "stream": True}
    with pytest.raises(ControlError, match="no output 'nid' in this show; there are ndi, stream"):
        switches.do(Switch("nid", True))
    assert switches.levels == {"ndi": True, "stream": True}
    switches.do(Switch("ndi", None))
    assert switches.levels == {"ndi": False, "stream": True}


def test_all_means_what_the_show_was_started_with() -> None:
    switches = Switches()
    for name, on in (("ndi", True), ("camera", False), ("stream", True)):
        switches.know(name, on)
    switches.do(Switch("all", None))
    assert switches.levels == {"ndi": False, "camera": False, "stream": False}
    switches.do(Switch("all", None))
    assert switches.levels == {"ndi": True, "camera": False, "stream": True}


def test_levels_that_were_given_out_do_not_change() -> None:
    switches = Switches()
    switches.know("ndi", True)
    before = switches.levels
    switches.do(Switch("ndi", False))
    assert before == {"ndi": True}


def test_a_feed_that_was_never_on_says_nothing_of_itself() -> None:
    feed = Feed("ndi", "ndi", lambda: Told([], {}), Scaling(), Size(SIDE, SIDE), FPS, print)
    ticked(feed, picture(numbered(0), 0, ndi=False))
    assert feed.summary() is None
    feed.close()
