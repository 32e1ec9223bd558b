"""Words and numbers over the picture: plain data -> lines -> a painted panel; the splash's glow.

A line is cells parted by tabs. Two cells are a label and its text; three are a label, a number and
its unit, which may be empty. An empty line parts two groups. A line may end in a rail, on which a
mark moves where routes move the value (see `rail.py`). `lines` and `glow` need no pygame.
This file knows nothing of windows, keys or the show.
"""

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lwlive.params import SPECS
from lwlive.routes import BANDS
from lwlive.stage.outputs.window import rail
from lwlive.stage.status import Status
from lwlive.tempo import BAR

if TYPE_CHECKING:
    import pygame
    from pygame._sdl2 import video

Ink = tuple[int, int, int]

BRIGHT: Ink = (240, 242, 246)
DIM: Ink = (166, 172, 184)
PANEL = (9, 11, 16, 208)  # dark enough for DIM on a white picture
RULE = (58, 62, 72, 232)
LINE = 1.5  # line pitch, in letter heights
UNKNOWN = "\N{EN DASH}"
METER = 24  # strokes of a full bar
TEXT_WIDTH = 46  # characters of a prompt before it is cut


def lines(status: Status) -> list[str]:
    """The HUD's lines: figures, then every live value with its unit."""
    stride = status.stride
    recording = status.parts.get("recording") if status.params.record else None
    rows = [
        _line("beat", _mark(status.beat)),
        _line("tempo by", status.tempo.by or "hand"),
        *_cues(status),
        _line("frames/s", (status.fps, round(status.fps_target, 2))),
        _line("sampled/s", status.fps_sampled),
        _line("late", status.late),
        _line("latency", status.latency_ms, "ms"),
        _line("replaced", status.replaced),
        _line("ring", status.queued),
        _line("in-betweens", f"{stride - 1} of {stride}" if stride else None),
        _line("engine", status.engine),
        _line("engine deaths", status.deaths),
        _line(
            "recording",
            f"{recording['frames']} frames" if recording and status.params.record else "off",
        ),
        *_midi(status),
        *(_line(name, _sent(status, name)) for name, on in status.outputs.items() if on),
        *_meter(status.bands),
        "",
    ]
    for name, spec in SPECS.items():
        value = getattr(status.params, name)
        shown = f"{value:.2f}" if spec.kind is float and value is not None else _shown(value)
        own = "model's own" if value is None else shown
        row = _cells(name, own, spec.unit, short=spec.kind is not str)
        moved = status.moved.get(name)
        rows.append(row if moved is None else row + rail.told(spec.position(value), moved))
    return rows


def _mark(beat: float) -> str:
    """Which beat of the bar it is: a dash is as wide as a digit, so that it moves evenly."""
    of_bar = math.floor(beat) % BAR
    return " ".join(str(n + 1) if n == of_bar else "\N{EN DASH}" for n in range(BAR))


def _midi(status: Status) -> list[str]:
    """What MIDI listens to, where it listens to anything."""
    ports = status.parts.get("midi", {}).get("ports", ())
    return [_line("MIDI", f"{len(ports)} port{'s' if len(ports) > 1 else ''}")] if ports else []


def _cues(status: Status) -> list[str]:
    """The cue that is on, and the one to come with its note: all of it, over several lines."""
    cue = status.cue
    if cue is None:
        return []
    on = UNKNOWN if cue.name is None else f"{cue.number} of {cue.count}: {cue.name}"
    to = UNKNOWN if cue.next_name is None else f"{cue.next_number}: {cue.next_name}"
    until = [] if cue.until_s is None else [_line("in", math.ceil(cue.until_s), "s")]
    notes = textwrap.wrap(cue.note, TEXT_WIDTH)
    told = [f"{'' if i else 'note'}\t{shortened(line)}" for i, line in enumerate(notes)]
    return [f"cue\t{shortened(on)}", f"next\t{shortened(to)}", *until, *told, ""]


def _sent(status: Status, name: str) -> str:
    """How an output for other programs is doing."""
    told = status.parts.get(name)
    return f"{told['sent']} sent" if told is not None and told["connected"] else "waiting"


def _meter(bands: Sequence[float] | None) -> list[str]:
    """The bands of the sound coming in as bars; no lines where nothing is listened to."""
    if bands is None:
        return []
    bars = ("|" * round(METER * value) or UNKNOWN for value in bands)
    return [
        _cells(f"sound {name}", bar, "", short=False) for name, bar in zip(BANDS, bars, strict=True)
    ]


def _line(label: str, value: object, unit: str = "") -> str:
    return _cells(label, _shown(value), unit, short=value is None or isinstance(value, int | float))


def _cells(label: str, value: str, unit: str, short: bool) -> str:
    """What is short goes into the column of numbers, with its unit; the rest is text."""
    short = short and len(value) <= 8
    return f"{label}\t{value}\t{unit}" if short else f"{label}\t{value} {unit}".rstrip()


def _shown(value: object) -> str:
    """A value in few letters; numbers keep about three digits."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"
    if isinstance(value, list | tuple):
        return shortened(" / ".join(_shown(one) for one in value))
    return shortened(str(value)) or UNKNOWN


def shortened(text: str, width: int = TEXT_WIDTH) -> str:
    """One line of at most `width` printable characters; what was cut shows as an ellipsis."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


class Lettering:
    """Text in one height, in pygame's bundled font, which is always there and opens in 1 ms.

    Letters are drawn three times too big and scaled down: at their own size the font's hinting
    tears words apart. What was drawn is kept, so a panel repaints only the numbers that changed.
    """

    def __init__(self, height_px: int) -> None:
        import pygame

        pygame.font.init()
        self.height_px = height_px
        self._font = pygame.font.Font(None, round(3 * height_px / 0.6875))
        self._drawn: dict[tuple[str, Ink], pygame.Surface] = {}

    def draw(self, text: str, ink: Ink) -> "pygame.Surface":
        """The text on nothing; letters the font lacks come out as boxes."""
        import pygame

        if (text, ink) not in self._drawn:
            if len(self._drawn) > 500:
                self._drawn.clear()
            big = self._font.render(shortened(text, 200), True, ink)
            size = (-(-big.get_width() // 3), -(-big.get_height() // 3))
            self._drawn[text, ink] = pygame.transform.smoothscale(big, size)
        return self._drawn[text, ink]


def panel(
    lettering: Lettering,
    lines: Sequence[str],
    inks: Sequence[Ink] = (DIM, BRIGHT, DIM),
    widths: list[int] | None = None,
) -> "pygame.Surface":
    """The lines in columns on a dark, half-transparent panel with round corners.

    `widths` keeps the widest column seen so far in pixels (labels, numbers, units, texts), so that
    a panel which is painted again and again does not wobble.
    """
    import pygame

    em, pitch = lettering.height_px, round(LINE * lettering.height_px)
    parted = [rail.parted(line) for line in lines]
    lines = [line for line, _ in parted]
    rows = [
        [lettering.draw(cell, ink) for cell, ink in zip(line.split("\t"), inks, strict=False)]
        for line in lines
    ]
    wide = widths if widths is not None else [0] * 4
    for line, row in zip(lines, rows, strict=True):
        if not line:
            continue
        columns = (0, 1, 2) if len(row) == 3 else (0, 3)
        for column, cell in zip(columns, row, strict=False):
            wide[column] = max(wide[column], cell.get_width())
    gap, pad = em, round(0.95 * em)
    value_x = pad + wide[0] + (gap if any("\t" in line for line in lines) else 0)
    number_right = value_x + wide[1]
    width = max(number_right + (gap // 2 + wide[2] if wide[2] else 0), value_x + wide[3]) + pad
    rails = any(marks is not None for _, marks in parted)
    rail_x, width = width - pad + gap, width + (gap + rail.WIDE * em if rails else 0)
    height = sum(pitch if line else pitch // 2 for line in lines) - (pitch - em) + 2 * pad
    surface = _plate(width, height, 0.6 * em).copy()
    y = pad - (pitch - em) // 2
    for (line, marks), row in zip(parted, rows, strict=True):
        if not line:
            rule = pygame.Rect(pad, y + pitch // 4, width - 2 * pad, max(1, em // 16))
            surface.fill(RULE, rule)
            y += pitch // 2
            continue
        label_y = y + (pitch - row[0].get_height()) // 2
        surface.blit(row[0], (pad, label_y))
        if len(row) == 2:
            surface.blit(row[1], (value_x, label_y))
        elif len(row) == 3:
            surface.blit(row[1], (number_right - row[1].get_width(), label_y))
            surface.blit(row[2], (number_right + gap // 2, label_y))
        if marks is not None:
            rail.draw(surface, marks, (rail_x, y + pitch // 2), em, (DIM, BRIGHT))
        y += pitch
    return surface


@lru_cache(maxsize=4)
def _plate(width: int, height: int, radius: float) -> "pygame.Surface":
    """An empty panel; its round corners are smooth because each pixel's coverage is computed."""
    import pygame

    x = np.abs(np.arange(width) + 0.5 - width / 2) - (width / 2 - radius)
    y = np.abs(np.arange(height) + 0.5 - height / 2) - (height / 2 - radius)
    away = np.hypot(np.maximum(x, 0)[None, :], np.maximum(y, 0)[:, None]) - radius  # [H, W]
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[:] = PANEL
    pixels[..., 3] = PANEL[3] * np.clip(0.5 - away, 0, 1)
    return pygame.image.frombytes(pixels.tobytes(), (width, height), "RGBA")


@dataclass
class _Painted:
    """A panel as it is on the GPU, and what it says."""

    texture: "video.Texture"
    said: tuple[str, ...]
    em: int
    at_s: float


class Words:
    """Draws panels and titles with a renderer, painting one again only when its words change."""

    def __init__(self, renderer: "video.Renderer", clock: Callable[[], float]) -> None:
        self._renderer, self._clock = renderer, clock
        self._painted: dict[str, _Painted] = {}
        self._letterings: dict[int, Lettering] = {}
        self._widths: dict[tuple[str, int], list[int]] = {}

    def panel(
        self,
        name: str,
        lines: Sequence[str] | None,
        window: tuple[int, int],
        share: int,
        place: tuple[float, float],
        inks: Sequence[Ink] = (DIM, BRIGHT, DIM),
        every_s: float = 0.0,
    ) -> None:
        """A panel at `place`, (0, 0) top left to (1, 1) bottom right; None takes it away.

        Letters are the window's height over `share`. New words wait until the panel is `every_s`
        old, but for those of its first line. A panel that is larger than the window is shown
        smaller.
        """
        if not lines:
            self._painted.pop(name, None)
            return
        em, now_s = _em(window, share), self._clock()
        old = self._painted.get(name)
        if old is None or old.em != em or self._stale(old, lines, now_s - old.at_s >= every_s):
            widths = self._widths.setdefault((name, em), [0] * 4)
            surface = panel(self._lettering(em), lines, inks, widths if every_s else None)
            old = _Painted(self._texture(surface), tuple(lines), em, now_s)
            self._painted[name] = old
        margin = 0.8 * em
        room = [max(1.0, side - 2 * margin) for side in window]
        size = old.texture.width, old.texture.height
        scale = min(1.0, room[0] / size[0], room[1] / size[1])
        w, h = (max(1, round(scale * side)) for side in size)
        x, y = round(margin + place[0] * (room[0] - w)), round(margin + place[1] * (room[1] - h))
        old.texture.draw(None, (x, y, w, h))

    @staticmethod
    def _stale(old: _Painted, lines: Sequence[str], rested: bool) -> bool:
        return old.said[0] != lines[0] or (rested and old.said != tuple(lines))

    def title(self, lines: Sequence[str], window: tuple[int, int], level: int = 255) -> None:
        """The instrument's name, wide, in the middle of the window, with small lines below.

        level: 0 unseen to 255.
        """
        import pygame

        em = _em(window, 46)
        old = self._painted.get("title")
        if old is None or old.said != tuple(lines) or old.em != em:
            rows = [self._lettering(round(2.6 * em)).draw(" ".join("lwlive"), BRIGHT)]
            for i, line in enumerate(lines):
                rows.append(self._lettering(em).draw(shortened(line, 90), DIM if i else BRIGHT))
            tops = [0, *(round(4.8 * em + LINE * em * i) for i in range(len(lines)))]
            size = max(row.get_width() for row in rows), tops[-1] + rows[-1].get_height()
            surface = pygame.Surface(size, pygame.SRCALPHA)
            for row, top in zip(rows, tops, strict=True):
                surface.blit(row, ((size[0] - row.get_width()) // 2, top))
            old = self._painted["title"] = _Painted(self._texture(surface), tuple(lines), em, 0.0)
        w, h = old.texture.width, old.texture.height
        scale = min(1.0, 0.96 * window[0] / w)
        x, y = round((window[0] - scale * w) / 2), round(0.46 * window[1] - 2 * em)
        old.texture.alpha = level
        old.texture.draw(None, (x, y, round(scale * w), round(scale * h)))

    def _lettering(self, em: int) -> Lettering:
        if em not in self._letterings and len(self._letterings) >= 8:  # a window being resized
            self._letterings.clear()
            self._widths.clear()
        if em not in self._letterings:
            self._letterings[em] = Lettering(em)
        return self._letterings[em]

    def _texture(self, surface: "pygame.Surface") -> "video.Texture":
        from pygame._sdl2 import video

        return video.Texture.from_surface(self._renderer, surface)


def _em(window: tuple[int, int], share: int) -> int:
    """Height of letters in pixels, for a window of this size."""
    return max(11, round(min(window[1], 1.2 * window[0]) / share))


# Where a light drifts (x, y, over how many seconds), how wide it is, and its colour.
_LIGHTS = (
    (0.75, 0.45, 23.0, 0.62, (22, 19, 58)),
    (0.80, 0.55, 31.0, 0.55, (4, 32, 40)),
    (0.65, 0.50, 41.0, 0.48, (48, 10, 36)),
)


def glow(elapsed_s: float, aspect: float, side: int = 128) -> npt.NDArray[np.uint8]:
    """The splash's backdrop: three dim lights that drift and breathe. Bytes [side, side, 3]."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    light = np.empty((side, side, 3), np.float32)
    light[:] = (9, 10, 17)
    for i, (dx, dy, period_s, wide, colour) in enumerate(_LIGHTS):
        turn = 2 * np.pi * (elapsed_s / period_s + i / len(_LIGHTS))
        breath = 0.85 + 0.15 * np.sin(2 * np.pi * elapsed_s / 6 + i)
        at_x, at_y = dx * aspect * np.cos(turn), dy * np.sin(1.7 * turn)
        spread = wide * (1 + 0.5 * (aspect - 1)) if aspect > 1 else wide
        near_x = np.exp(-((axis * aspect - at_x) ** 2) / (2 * spread**2))
        near_y = np.exp(-((axis - at_y) ** 2) / (2 * spread**2))
        light += breath * np.outer(near_y, near_x)[..., None] * np.asarray(colour, np.float32)
    grain = np.random.default_rng(0).random((side, side, 1), np.float32)  # hides the bands
    return (light + grain).clip(0, 255).astype(np.uint8)
