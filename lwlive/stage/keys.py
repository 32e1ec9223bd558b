"""The keys of the window: one row each, and what the window, its list and the README make of it.

Here a key becomes an action's name and amount; what an action does is not known here.
"""

import os
from typing import NamedTuple

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # read when pygame is imported

import pygame

from lwlive.params import TRIGGERS, Params


class Action(NamedTuple):
    """What a key asks for: a live parameter or trigger by its name, or one of the words below.

    `preset`: `amount` is its number, 1 to 9. `speed`, `guidance`: `amount` is +1 or -1 for a step
    up or down, a tenth of that with shift. `save`, `quit`: as they say. Switches mean the opposite
    of the present value.
    """

    kind: str
    amount: float = 0


class Key(NamedTuple):
    """One row of the table of keys."""

    label: str
    kind: str
    help: str
    codes: dict[int, float]  # pygame's key codes, each with its action's amount
    repeats: bool = False  # again and again while held


def _help(name: str) -> str:
    return TRIGGERS.get(name) or Params.model_fields[name].description or name


ONES = (pygame.K_1, pygame.K_KP_1)  # where the digits start, above the letters and beside

KEYS = (
    Key("space", "hold", _help("hold"), {pygame.K_SPACE: 0}),
    Key("N", "next", _help("next"), {pygame.K_n: 0}),
    Key(
        "left, right",
        "speed",
        "slower, faster; with shift in fine steps",
        {pygame.K_LEFT: -1, pygame.K_RIGHT: 1},
        repeats=True,
    ),
    Key(
        "down, up",
        "guidance",
        "less, more guidance; with shift in fine steps",
        {pygame.K_DOWN: -1, pygame.K_UP: 1},
        repeats=True,
    ),
    Key("1 to 9", "preset", "bend to a preset", {one + n: n + 1 for one in ONES for n in range(9)}),
    Key("S", "save", "save the present values as a preset", {pygame.K_s: 0}),
    Key("B", "blackout", _help("blackout"), {pygame.K_b: 0}),
    Key("R", "record", _help("record"), {pygame.K_r: 0}),
    Key("P", "panic", _help("panic"), {pygame.K_p: 0}),
    Key("F", "fullscreen", "cover the monitor, and back to a window", {pygame.K_f: 0}),
    Key("H", "hud", _help("hud"), {pygame.K_h: 0}),
    Key("?, F1", "keys", "show these keys", {pygame.K_QUESTION: 0, pygame.K_F1: 0}),
    Key("Esc", "quit", "close this list, or end the show", {pygame.K_ESCAPE: 0}),
)
BY_CODE = {code: (key, amount) for key in KEYS for code, amount in key.codes.items()}


def code(key: int, place: int, letter: str) -> int:
    """The code to look a key up by, from SDL's code, its place on the keyboard and its letter.

    Where a layout has other letters (Cyrillic) or signs in the row of digits (French), what counts
    is the key's place.
    """
    if letter == "?":
        return pygame.K_QUESTION
    if key not in BY_CODE and 0 <= place - pygame.KSCAN_1 < 9:
        return pygame.K_1 + place - pygame.KSCAN_1
    if 127 < key < 1 << 30 and 0 <= place - pygame.KSCAN_A < 26:
        return pygame.K_a + place - pygame.KSCAN_A
    return key


def keys_table() -> str:
    """The keys as a Markdown table, for the README."""
    rows = [f"| {key.label} | {key.help} |" for key in KEYS]
    return "\n".join(["| key | what it does |", "|---|---|", *rows])
