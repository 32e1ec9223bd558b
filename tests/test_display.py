"""The window and the HUD: laws of the geometry and the words, and a real window under Xvfb.

A test marked `on_screen` runs in a process of its own, so that SDL starts clean each time; this
file is then a program whose argument names the test.
"""

import functools
import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from lwlive.commands import (
    Command,
    Fire,
    Nudge,
    Recall,
    Switch,
    Toggle,
)
from lwlive.controls import Controls
from lwlive.params import SPECS, TRIGGERS, Params
from lwlive.ring import Pixels
from lwlive.stage.master import dimmed
from lwlive.stage.outputs.window import hud
from lwlive.stage.outputs.window.display import Display
from lwlive.stage.outputs.window.geometry import Fit, Placement, placements, start_size
from lwlive.stage.outputs.window.glow import glow
from lwlive.stage.outputs.window.monitor import Refresh
from lwlive.stage.outputs.window.screens import NoMonitor, NoScreen
from lwlive.stage.sources.keys import ADDRESS, FULLSCREEN, KEYS, LEARN, LIST, QUIT, keys_table
from lwlive.stage.status import Status
from lwlive.tempo import Tempo

SIDE = st.integers(1, 3000)
SIZE = st.tuples(SIDE, SIDE)
FITS: tuple[Fit, ...] = ("fit", "fill", "mirror")


# The geometry


def covered(window: tuple[int, int], places: list[Placement], axis: int) -> bool:
    """Whether the placements leave no pixel of the window free along one axis."""
    edge = 0
    for start, size in sorted({(place[axis], place[axis + 2]) for place in places}):
        if start > edge:
            return False
        edge = max(edge, start + size)
    return edge >= window[axis]


@given(SIZE, SIZE, st.sampled_from(("fill", "mirror")))
def test_fill_and_mirror_leave_no_border(
    window: tuple[int, int], picture: tuple[int, int], fit: Fit
) -> None:
    places = placements(window, picture, fit)
    assert covered(window, places, 0)
    assert covered(window, places, 1)


@given(SIZE, SIZE)
def test_fit_shows_the_whole_picture_and_touches_two_edges(
    window: tuple[int, int], picture: tuple[int, int]
) -> None:
    (place,) = placements(window, picture, "fit")
    assert place.x >= 0
    assert place.y >= 0
    assert place.x + place.width <= window[0]
    assert place.y + place.height <= window[1]
    assert place.width == window[0] or place.height == window[1]


@given(SIZE, SIZE, st.sampled_from(FITS))
def test_every_fit_keeps_the_aspect_to_a_pixel(
    window: tuple[int, int], picture: tuple[int, int], fit: Fit
) -> None:
    for place in placements(window, picture, fit):
        assert place.width >= 1
        assert place.height >= 1
        ratios = (window[0] / picture[0], window[1] / picture[1])
        scale = max(ratios) if fit == "fill" else min(ratios)
        assert abs(place.width - max(1, picture[0] * scale)) <= 0.5 + 1e-6
        assert abs(place.height - max(1, picture[1] * scale)) <= 0.5 + 1e-6


@given(SIZE, SIZE)
def test_mirror_shows_the_whole_picture_and_neighbours_are_mirrored(
    window: tuple[int, int], picture: tuple[int, int]
) -> None:
    places = placements(window, picture, "mirror")
    (middle,) = placements(window, picture, "fit")
    assert middle in places
    at = {(place.x, place.y): place for place in places}
    for place in places:
        right = at.get((place.x + place.width, place.y))
        below = at.get((place.x, place.y + place.height))
        assert right is None or right.flip_x != place.flip_x
        assert below is None or below.flip_y != place.flip_y


@pytest.mark.slow
@given(SIZE, SIZE)
def test_the_first_window_is_a_whole_multiple_within_the_monitor(
    monitor: tuple[int, int], picture: tuple[int, int]
) -> None:
    size = start_size(monitor, picture)
    assume(min(monitor) > 5)
    assert all(s <= max(1, 0.8 * m + 0.5) for s, m in zip(size, monitor, strict=True))
    if all(p <= 0.8 * m for p, m in zip(picture, monitor, strict=True)):
        assert size[0] % picture[0] == size[1] % picture[1] == 0
        assert size[0] // picture[0] == size[1] // picture[1]


# The words


def status(**values: Any) -> Status:
    """How things stand in some show."""
    given: dict[str, Any] = {
        "params": Params(guidance=7.5, steps=4),
        "model": "ember",
        "now": 100.0,
        "since_start_s": 3.0,
        "level": 1.0,
        "notice": None,
        "pictures": True,
        "fps_target": 29.97,
        "fps": 29,
        "fps_sampled": 15,
        "late": 3,
        "latency_ms": 84.2,
        "replaced": 0,
        "queued": 6,
        "stride": 2,
        "engine": "compiled",
        "doing": "",
        "trouble": "",
        "starts": 1,
        "deaths": 0,
        "phase": 1.5,
        "dtype": "float32",
        "parts": {},
    }
    return Status(**given | values)


def test_the_hud_lists_every_live_value_with_its_unit() -> None:
    lines = hud.lines(status())
    lines = lines[lines.index("") + 1 :]
    said = {line.split("\t")[0]: line.split("\t")[1:] for line in lines}
    assert list(said) == list(SPECS)
    assert said["speed"] == ["0.25", "keyframes/s"]
    assert said["guidance"] == ["7.50", ""]
    assert said["hold"] == ["off", ""]
    for name in SPECS:
        assert SPECS[name].unit in " ".join(said[name])


def test_the_hud_lists_the_figures_and_what_is_not_known_yet() -> None:
    lines = hud.lines(status())
    assert lines[: lines.index("")] == [
        "beat\t1 \N{EN DASH} \N{EN DASH} \N{EN DASH}",
        "tempo by\thand",
        "frames/s\t29 / 30.0",
        "sampled/s\t15\t",
        "late\t3\t",
        "latency\t84.2\tms",
        "replaced\t0\t",
        "ring\t6\t",
        "in-betweens\t1 of 2",
        "engine\tcompiled",
        "engine deaths\t0\t",
        "recording\toff",
    ]
    third = hud.lines(status(tempo=Tempo(120, 5.9, 0.0, "tap"), now=0.1))
    assert third[:2] == ["beat\t\N{EN DASH} \N{EN DASH} 3 \N{EN DASH}", "tempo by\ttap"]
    early = hud.lines(status(latency_ms=None, stride=None))
    assert f"latency\t{hud.UNKNOWN}\tms" in early
    recording = {"recording": {"frames": 12}}
    on = status(params=Params(record=True), parts=recording)
    assert "recording\t12 frames" in hud.lines(on)
    assert "recording\toff" in hud.lines(status(parts=recording))  # the last take's


def test_the_hud_says_how_many_midi_ports_are_listened_to_where_there_are_any() -> None:
    def said(*ports: str) -> list[str]:
        return [x for x in hud.lines(status(parts={"midi": {"ports": ports}})) if "MIDI" in x]

    assert said() == []
    assert said("one") == ["MIDI\t1 port"]
    assert said("one", "two") == ["MIDI\t2 ports"]


@given(st.text(max_size=120))
def test_any_prompt_is_one_short_printable_line(prompt: str) -> None:
    lines = hud.lines(status(params=Params(prompt=prompt)))
    line = next(one for one in lines if one.startswith("prompt"))
    text = line.partition("\t")[2]
    assert len(text) <= hud.TEXT_WIDTH
    assert text.isprintable()


WINDOWS_OWN = (ADDRESS, FULLSCREEN, LIST, LEARN, QUIT)


def test_every_key_has_one_action_and_stands_in_the_table() -> None:
    codes = [code for key in KEYS for code in key.codes]
    assert len(codes) == len(set(codes))
    table = keys_table()
    assert all(f"| {key.label} | {key.help} |" in table for key in KEYS)
    for command in (command for key in KEYS for command in key.codes.values()):
        if isinstance(command, Fire):
            assert command.name in {*TRIGGERS, "save"} or command in WINDOWS_OWN
        elif not isinstance(command, Recall | Switch):
            Controls(Params(guidance=1.0)).do(command)


@pytest.mark.parametrize("aspect", [0.4, 1, 1.8, 4])
def test_the_splash_is_dark_but_never_black_and_moves_slowly(aspect: float) -> None:
    before = None
    for elapsed_s in np.arange(0, 20, 0.5):
        light = glow(float(elapsed_s), aspect).astype(int)
        assert light.max(axis=2).min() >= 10
        assert light.max() <= 140
        assert np.ptp(light.mean(axis=2)) >= 10
        assert before is None or np.abs(light - before).max() <= 25
        before = light


# A real window


def in_child(name: str, screen: str | None, **more: str) -> subprocess.CompletedProcess[str]:
    outside = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    env = {key: value for key, value in os.environ.items() if key not in outside} | more
    if screen is not None:
        env |= {"DISPLAY": screen, "SDL_VIDEODRIVER": "x11"}
    return subprocess.run(
        [sys.executable, __file__, name], env=env, capture_output=True, text=True, timeout=300
    )


def on_screen(law: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a child process whose DISPLAY is the fixture's screen."""

    @functools.wraps(law)
    def test(screen: str, **values: object) -> None:
        if "xdotool(" in inspect.getsource(law) and shutil.which("xdotool") is None:
            pytest.skip("xdotool is not installed, so no key can be pressed (apt install xdotool)")
        more = {key.upper(): str(value) for key, value in values.items()}
        child = in_child(law.__name__, screen, **more)
        assert child.returncode == 0, child.stderr

    takes = inspect.signature(law)
    if "screen" not in takes.parameters:  # pytest reads here which fixtures are wanted
        given = inspect.Parameter("screen", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        takes = takes.replace(parameters=[given, *takes.parameters.values()])
    test.__signature__ = takes  # type: ignore[attr-defined] # inspect's own, not in the stubs
    return test


RED, BLUE = (220, 30, 40), (30, 60, 210)


def halves(width: int = 80, height: int = 80) -> Pixels:
    """Red on the left, blue on the right."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, BLUE
    return pixels


def screenshot(screen: str) -> np.ndarray:
    from PIL import ImageGrab

    return np.asarray(ImageGrab.grab(xdisplay=screen).convert("RGB")).astype(int)


def settled(
    display: Display,
    screen: str,
    good: Callable[[np.ndarray], bool],
    pixels: Pixels | None = None,
    master: float = 1.0,
    actions: list[Command] | None = None,
    hud: list[str] | None = None,
    notice: str | None = None,
) -> np.ndarray:
    """Show pictures until the screen is as wanted; 30 seconds at most. The last screenshot."""
    until = time.monotonic() + 30
    while True:
        for _ in range(4):
            got = [command for command, _ in display.presses()]
            if actions is not None:
                actions += got
            given = halves() if pixels is None else pixels
            display.show(dimmed(given, master), master, hud, notice)
            time.sleep(0.01)
        seen = screenshot(screen)
        if good(seen) or time.monotonic() > until:
            return seen


def xdotool(*arguments: str) -> None:
    subprocess.run(["xdotool", *arguments], check=True, timeout=60)


def near(pixel: ArrayLike, colour: ArrayLike, by: int = 6) -> bool:
    return bool(np.abs(np.asarray(pixel) - np.asarray(colour)).max() <= by)


@pytest.mark.slow
@on_screen
@pytest.mark.parametrize("renderer", ["opengl", "software"])
def test_each_fit_puts_the_picture_where_it_says(screen: str, renderer: str) -> None:
    # The monitor is 640 by 400, the picture a square: 400 by 400 from x = 120, or 640 by 640.
    os.environ["SDL_RENDER_DRIVER"] = renderer
    expected: dict[Fit, dict[int, tuple[int, int, int]]] = {
        "fit": {20: (0, 0, 0), 140: RED, 300: RED, 340: BLUE, 500: BLUE, 620: (0, 0, 0)},
        "fill": {20: RED, 300: RED, 340: BLUE, 620: BLUE},
        "mirror": {20: RED, 140: RED, 300: RED, 340: BLUE, 500: BLUE, 620: BLUE},
    }
    for fit, colours in expected.items():
        with Display("fits", True, "0", fit, True, (80, 80)) as display:
            seen = settled(display, screen, lambda seen: near(seen[200, 300], RED))
            for x, colour in colours.items():
                for y in (5, 200, 395):
                    assert near(seen[y, x], colour), (fit, x, y, seen[y, x])


@pytest.mark.slow
@on_screen
def test_mirror_continues_the_picture_backwards(screen: str) -> None:
    ramp = np.zeros((80, 80, 3), np.uint8)
    ramp[..., 0] = np.linspace(40, 240, 80)
    with Display("mirror", True, "0", "mirror", True, (80, 80)) as display:
        seen = settled(display, screen, lambda seen: seen[200, 130, 0] > 20, ramp)
    for away in (10, 50, 100):
        assert abs(seen[200, 120 + away, 0] - seen[200, 119 - away, 0]) <= 4
        assert abs(seen[200, 519 - away, 0] - seen[200, 520 + away, 0]) <= 4


@pytest.mark.slow
@on_screen
def test_at_its_own_size_and_at_three_times_it_the_picture_is_exact(screen: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (100, 100, 3), np.uint8)
    with Display("exact", False, "0", "fit", True, (100, 100)) as display:  # 300 by 300

        def middles(seen: np.ndarray) -> np.ndarray:
            return seen[51:350:3, 171:470:3]  # of 3 by 3 blocks, from (170, 50) on

        def good(seen: np.ndarray) -> bool:
            return np.array_equal(middles(seen), noise)

        assert good(settled(display, screen, good, noise))
        large = np.random.default_rng(2).integers(0, 256, (300, 300, 3), np.uint8)

        def filled(seen: np.ndarray) -> bool:
            return np.array_equal(seen[50:350, 170:470], large)

        assert filled(settled(display, screen, filled, large))


@on_screen
def test_the_master_dims_the_picture(screen: str) -> None:
    with Display("master", True, "0", "fill", True, (80, 80)) as display:
        for master in (1.0, 0.5, 0.0):
            want = np.array(RED) * master

            def so_dark(seen: np.ndarray, want: np.ndarray = want) -> bool:
                return near(seen[200, 300], want)

            assert so_dark(settled(display, screen, so_dark, master=master))


@pytest.mark.slow
@on_screen
def test_words_lie_over_the_picture_and_go_away_again(screen: str) -> None:
    prompt = "漢字 \u202e\U0001f469 très long " * 20
    lines = hud.lines(status(params=Params(prompt=prompt)))

    def dark(seen: np.ndarray, y: int, x: int) -> bool:  # the panel's ground, not the picture
        return bool(seen[y, x].max() < 120)

    with Display("words", True, "0", "fill", True, (80, 80)) as display:
        seen = settled(display, screen, lambda s: near(s[14, 14], RED), notice=prompt)
        assert near(seen[387, 300], RED)  # no words for the audience
        seen = settled(display, screen, lambda s: dark(s, 14, 14), hud=lines, notice=prompt)
        assert dark(seen, 14, 14)  # HUD, top left
        assert dark(seen, 387, 320)  # notice, bottom middle
        assert (seen[10:300, 10:200].min(axis=2) > 200).any()  # bright letters
        assert near(seen[200, 600], BLUE)
        seen = settled(display, screen, lambda s: near(s[14, 14], RED))
        assert near(seen[14, 14], RED)
        assert near(seen[387, 300], RED)


@pytest.mark.slow
@on_screen
def test_before_the_first_picture_the_window_is_never_black(screen: str) -> None:
    with Display("splash", True, "0", "fit", True, (80, 80)) as display:
        start = time.monotonic()
        named = False
        while not named and time.monotonic() - start < 30:
            [command for command, _ in display.presses()]
            display.splash(["ember", "loading the text encoder"], time.monotonic() - start)
            seen = screenshot(screen)
            named = bool(seen.max() > 200) and time.monotonic() - start > 0.6
        assert seen.max(axis=2).min() >= 8
        assert seen.max() > 200  # the name

        def arrived(seen: np.ndarray) -> bool:
            return near(seen[200, 300], RED) and near(seen[200, 20], (0, 0, 0))

        assert arrived(settled(display, screen, arrived))


@pytest.mark.slow
@on_screen
def test_blackout_covers_the_splash_and_the_arrival_of_the_first_picture(screen: str) -> None:
    with Display("dark", True, "0", "fill", True, (80, 80)) as display:
        brightest, start = 0, time.monotonic()
        while time.monotonic() - start < 2:
            [command for command, _ in display.presses()]
            if time.monotonic() - start < 1:
                display.splash(["ember"], time.monotonic() - start, 0.0)
            else:
                display.show(dimmed(halves(), 0.0), 0.0, None, None)
            brightest = max(brightest, screenshot(screen).max())
        assert brightest == 0


@on_screen
def test_keys_arrive_as_commands(screen: str) -> None:
    with Display("keys", False, "0", "fit", True, (80, 80)) as display:
        settled(display, screen, lambda seen: near(seen[200, 300], RED))
        actions: list[Command] = []
        wanted = [
            *(Toggle("hold"), Toggle("blackout"), Toggle("hud"), Fire("next"), Toggle("record")),
            *(Fire("save"), Recall(1), Recall(9), Fire("panic")),
            *(Nudge("guidance", 1), Nudge("guidance", -1)),
            *(Nudge("speed", 1), Nudge("speed", -1), Nudge("speed", 0.1), QUIT),
        ]
        pressed = "space b h n r s 1 9 p Up Down Right Left shift+Right Escape"
        xdotool("key", "--delay", "30", *pressed.split(), "ctrl+b", "x")
        settled(display, screen, lambda _: len(actions) >= len(wanted), actions=actions)
        assert actions == wanted


@pytest.mark.slow
@on_screen
def test_a_held_arrow_repeats_and_a_held_switch_does_not(screen: str) -> None:
    with Display("held", False, "0", "fit", True, (80, 80)) as display:
        settled(display, screen, lambda seen: near(seen[200, 300], RED))
        actions: list[Command] = []
        xdotool("keydown", "space")
        settled(display, screen, lambda _: bool(actions), actions=actions)
        until = time.monotonic() + 0.8
        settled(display, screen, lambda _: time.monotonic() > until, actions=actions)
        assert actions == [Toggle("hold")]
        xdotool("keyup", "space", "keydown", "Up")
        settled(display, screen, lambda _: len(actions) > 4, actions=actions)
        xdotool("keyup", "Up")
        assert actions[1:5] == [Nudge("guidance", 1)] * 4


@pytest.mark.slow
@on_screen
def test_question_mark_shows_the_keys_and_escape_closes_them_first(screen: str) -> None:
    with Display("list", True, "0", "fill", True, (80, 80)) as display:
        actions: list[Command] = []

        def shown(seen: np.ndarray) -> bool:
            return bool(seen[195:205, 200:300].max(axis=2).mean() < 180)

        def gone(seen: np.ndarray) -> bool:
            return near(seen[200, 250], RED)

        settled(display, screen, gone)
        for opening in ("question", "F1"):
            xdotool("key", opening)
            assert shown(settled(display, screen, shown, actions=actions))
            xdotool("key", "Escape")
            assert gone(settled(display, screen, gone, actions=actions))
        assert actions == []
        xdotool("key", "Escape")
        settled(display, screen, lambda _: bool(actions), actions=actions)
        assert actions == [QUIT]


@pytest.mark.slow
@on_screen
def test_resizing_and_fullscreen_go_on_showing_the_picture(screen: str) -> None:
    with Display("resized", False, "0", "fill", True, (80, 80)) as display:

        def windowed(seen: np.ndarray) -> bool:  # 320 by 320 in the middle
            return near(seen[200, 170], RED) and near(seen[200, 150], (0, 0, 0))

        def whole(seen: np.ndarray) -> bool:
            return near(seen[5, 5], RED) and near(seen[395, 635], BLUE)

        assert windowed(settled(display, screen, windowed))
        for _ in range(2):
            xdotool("key", "f")
            assert whole(settled(display, screen, whole))
            xdotool("key", "f")
            assert windowed(settled(display, screen, windowed))
        for size in ((300, 200), (77, 311), (1, 1), (500, 390)):
            xdotool("getwindowfocus", "windowsize", *map(str, size))
            settled(display, screen, lambda _: True)

        def larger(seen: np.ndarray) -> bool:  # from (160, 40), cut off by the monitor's edge
            return near(seen[390, 170], RED) and near(seen[390, 630], BLUE)

        assert larger(settled(display, screen, larger))


def xrandr(*arguments: str) -> None:
    subprocess.run(["xrandr", *arguments], check=True, timeout=60)


def small_monitor(width: int, height: int) -> None:
    """Give the screen a mode of this size beside its own, and switch to it."""
    if shutil.which("xrandr") is None:
        pytest.skip("xrandr is not installed, so no resolution can be changed")
    ends = [width, width + 16, width + 80, width + 160, height, height + 1, height + 4, height + 45]
    xrandr("--newmode", "small", "30", *(str(end) for end in ends))
    xrandr("--addmode", "screen", "small")
    xrandr("--output", "screen", "--mode", "small")


@pytest.mark.slow
@on_screen
def test_fullscreen_covers_the_monitor_also_when_its_resolution_changes(screen: str) -> None:
    small_monitor(320, 200)
    try:
        with Display("covering", True, "0", "fill", True, (80, 80)) as display:

            def covers(seen: np.ndarray, width: int, height: int) -> bool:
                corners = seen[5, 5], seen[height - 6, 5], seen[5, width - 6], seen[-6, -6]
                return (seen.shape[:2] == (height, width)) and all(
                    near(pixel, colour)
                    for pixel, colour in zip(corners, (RED, RED, BLUE, BLUE), strict=True)
                )

            for mode, size in (
                ("small", (320, 200)),
                ("640x400", (640, 400)),
                ("small", (320, 200)),
            ):
                xrandr("--output", "screen", "--mode", mode)
                whole = functools.partial(covers, width=size[0], height=size[1])
                seen = settled(display, screen, whole)
                assert whole(seen), (mode, seen.shape)
            xdotool("key", "f")
            seen = settled(display, screen, lambda s: not near(s[5, 5], RED))
            assert near(seen[5, 5], (0, 0, 0))  # a window again, and no longer following
    finally:
        xrandr("--output", "screen", "--mode", "640x400")


@pytest.mark.slow
@on_screen
def test_no_input_method_is_asked_for_a_key(screen: str) -> None:
    import pygame

    with Display("plain keys", False, "0", "fit", True, (80, 80)) as display:
        settled(display, screen, lambda seen: near(seen[200, 300], RED))
        events: list[pygame.event.Event] = []
        xdotool("key", "--delay", "30", "b", "question", "space")
        until = time.monotonic() + 5
        while len(events) < 4 and time.monotonic() < until:
            events += pygame.event.get((pygame.KEYDOWN, pygame.TEXTINPUT, pygame.TEXTEDITING))
            time.sleep(0.01)
        assert {event.type for event in events} == {pygame.KEYDOWN}
        assert len(events) == 4  # shift is a key of its own


def measured(named_hz: float, periods: list[float]) -> Refresh:
    """What a Refresh makes of pictures that take these seconds to show."""
    now_s = 0.0
    refresh = Refresh(named_hz, lambda: now_s)
    for i, period in enumerate(periods):
        now_s += period
        refresh.shown(alone=i == 0)
    return refresh


def jittered(period_s: float, spread_s: float = 0.0005) -> list[float]:
    random = np.random.default_rng(1)
    return [max(0.0, period_s + float(random.normal(0, spread_s))) for _ in range(40)]


@pytest.mark.parametrize(("named", "true"), [(60, 59.94), (59, 59.94), (144, 143.9), (24, 23.976)])
def test_the_refresh_rate_is_measured_to_a_few_parts_in_a_thousand(named: int, true: float) -> None:
    refresh = measured(named, jittered(1 / true))
    assert refresh.known
    assert refresh.hz == pytest.approx(true, rel=0.01)


@pytest.mark.parametrize(
    ("named", "periods"),
    [
        (60, [0.0004] * 40),  # pictures do not wait
        (60, [0.016] * 40),  # SDL imitates vsync
        (0, jittered(1 / 60)),  # a virtual screen
        (60, jittered(1 / 60, 0.006)),  # a processor that draws
        (60, jittered(1 / 30)),
        (60, jittered(1 / 60)[:20]),  # too few
        (60, [0.0] * 40),
    ],
)
def test_there_is_no_refresh_rate_where_pictures_do_not_wait_for_the_monitor(
    named: int, periods: list[float]
) -> None:
    assert measured(named, periods).hz is None


@pytest.mark.slow
@on_screen
def test_a_virtual_screen_has_no_refresh_rate() -> None:
    with Display("virtual", False, "0", "fit", True, (80, 80)) as display:
        for i in range(40):
            [command for command, _ in display.presses()]
            display.splash(["ember"], i / 30)
        assert display.refresh_hz is None


@pytest.mark.slow
@pytest.mark.parametrize("pygame", ["", "IS_CE = 0", "def __getattr__(name): raise AttributeError"])
def test_another_pygame_is_a_sentence_that_says_how_to_mend_it(tmp_path: Path, pygame: str) -> None:
    (tmp_path / "pygame").mkdir()
    (tmp_path / "pygame" / "__init__.py").write_text(pygame)
    root = Path(__file__).resolve().parent.parent
    words = ["--duration", "1", "--osc-port", "0"]
    code = f"import sys; from lwlive.cli import subcommands; subcommands._told({words})"
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert "Traceback" not in child.stderr
    assert child.stderr.splitlines()[-1].startswith("lwlive: lwlive's window needs pygame-ce, and")
    assert "-m pip uninstall -y pygame pygame-ce" in child.stderr


@pytest.mark.slow
@on_screen
def test_closing_the_window_asks_to_quit() -> None:
    import pygame

    with Display("closed", False, "0", "fit", True, (80, 80)) as display:
        [command for command, _ in display.presses()]
        for kind in (pygame.WINDOWCLOSE, pygame.QUIT):  # the second from the menu of macOS
            pygame.event.post(pygame.event.Event(kind))
            assert [command for command, _ in display.presses()] == [QUIT]


@pytest.mark.slow
@on_screen
def test_a_monitor_that_is_not_there_is_refused_with_their_number() -> None:
    with pytest.raises(NoMonitor, match="no monitor 2: there are 2, 0 to 1"):
        Display("third", False, "2", "fit", True, (80, 80))
    with Display("second", False, "1", "fit", True, (80, 80)) as display:
        [command for command, _ in display.presses()]


def is_told_to_end() -> None:
    with Display("signals", False, "0", "fit", True, (80, 80)) as display:
        [command for command, _ in display.presses()]
        # a shell that starts the tests in its background has them ignore Ctrl-C
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(getattr(signal, os.environ["SIGNAL"]))
        sys.exit(
            f"the signal was swallowed, and became {[command for command, _ in display.presses()]}"
        )


@pytest.mark.parametrize(("name", "ends"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "")])
def test_signals_are_left_to_python(screen: str, name: str, ends: str) -> None:
    child = in_child("is_told_to_end", screen, SIGNAL=name)
    assert "swallowed" not in child.stderr
    assert child.returncode == -getattr(signal, name)
    assert ends in child.stderr


@pytest.mark.slow
@on_screen
def test_the_cursor_is_hidden_in_fullscreen_and_after_a_rest(screen: str) -> None:
    import pygame

    now_s = 0.0
    with Display("cursor", False, "0", "fit", True, (80, 80), clock=lambda: now_s) as display:
        settled(display, screen, lambda seen: near(seen[200, 300], RED))
        assert pygame.mouse.get_visible()
        now_s = 3.0
        [command for command, _ in display.presses()]
        assert not pygame.mouse.get_visible()
        xdotool("mousemove", "300", "210")
        settled(display, screen, lambda _: pygame.mouse.get_visible())
        assert pygame.mouse.get_visible()
        xdotool("key", "f")
        settled(display, screen, lambda _: not pygame.mouse.get_visible())
        assert not pygame.mouse.get_visible()


@pytest.mark.slow
@on_screen
def test_the_window_is_opened_with_little_work() -> None:
    """Half a second of a processor at most, whatever else runs on it."""
    start = time.process_time()
    with Display("soon", False, "0", "fit", True, (80, 80)) as display:
        display.splash(["ember"], 0)
        spent_s = time.process_time() - start
        print(f"{spent_s:.3f} s")
        assert spent_s < 0.5


def raises_no_screen() -> None:
    try:
        Display("nowhere", False, "0", "fit", True, (80, 80))
    except NoScreen as error:
        print(error)
    else:
        sys.exit("a window was opened where there is no screen")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a screen needs no DISPLAY")
@pytest.mark.parametrize(
    "driver",
    ["", *(pytest.param(n, marks=pytest.mark.slow) for n in ("x11", "dummy", "offscreen"))],
)
def test_without_a_screen_a_sentence_says_so(driver: str) -> None:
    if not driver and Path("/dev/dri").exists():
        pytest.skip("this machine has a graphics console, which SDL would open: a screen")
    child = in_child("raises_no_screen", None, **({"SDL_VIDEODRIVER": driver} if driver else {}))
    assert child.returncode == 0, child.stderr
    assert "screen" in child.stdout or "window" in child.stdout


if __name__ == "__main__":
    law = globals()[sys.argv[1]]
    if hasattr(law, "__wrapped__"):
        law = law.__wrapped__
    names = inspect.signature(law).parameters
    law(**{name: os.environ["DISPLAY" if name == "screen" else name.upper()] for name in names})
