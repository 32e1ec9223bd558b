"""The keys of the window: one row each, and what the window, its list and the README make of it.

Here a key becomes a command; what a command does is not known here.
"""

import os
from dataclasses import replace
from typing import NamedTuple

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # read when pygame is imported

import pygame

from lwlive.commands import (
    Command,
    Fire,
    Nudge,
    Recall,
    Switch,
    Toggle,
)
from lwlive.params import SPECS, TRIGGERS

FULLSCREEN, ADDRESS, LIST, LEARN, QUIT = (
    Fire("fullscreen"),
    Fire("address"),
    Fire("keys"),
    Fire("learn"),
    Fire("quit"),
)  # the window's own, but quit


class Key(NamedTuple):
    """One row of the table of keys."""

    label: str
    help: str
    codes: dict[int, Command]  # pygame's key codes, each with what it asks for

    @property
    def repeats(self) -> bool:
        """Whether it is pressed again and again while held."""
        return all(isinstance(command, Nudge) for command in self.codes.values())


def _help(name: str) -> str:
    return TRIGGERS.get(name) or SPECS[name].help


ONES = (pygame.K_1, pygame.K_KP_1)  # where the digits start, above the letters and beside

KEYS = (
    Key("space", _help("hold"), {pygame.K_SPACE: Toggle("hold")}),
    Key("N", _help("next"), {pygame.K_n: Fire("next")}),
    Key(
        "left, right",
        "slower, faster; with shift in fine steps",
        {pygame.K_LEFT: Nudge("speed", -1), pygame.K_RIGHT: Nudge("speed", 1)},
    ),
    Key(
        "down, up",
        "less, more guidance; with shift in fine steps",
        {pygame.K_DOWN: Nudge("guidance", -1), pygame.K_UP: Nudge("guidance", 1)},
    ),
    Key("1 to 9", "bend to a preset", {one + n: Recall(n + 1) for one in ONES for n in range(9)}),
    Key("T", _help("tap"), {pygame.K_t: Fire("tap")}),
    Key(
        "Enter, Page Down",
        _help("go"),
        {code: Fire("go") for code in (pygame.K_RETURN, pygame.K_KP_ENTER, pygame.K_PAGEDOWN)},
    ),
    Key("Page Up", _help("back"), {pygame.K_PAGEUP: Fire("back")}),
    Key("S", "save the present values as a preset", {pygame.K_s: Fire("save")}),
    Key("B", _help("blackout"), {pygame.K_b: Toggle("blackout")}),
    Key("R", _help("record"), {pygame.K_r: Toggle("record")}),
    Key("C", _help("snapshot"), {pygame.K_c: Fire("snapshot")}),
    Key(
        "O",
        "what goes to other programs off, and on again",
        {pygame.K_o: Switch("all", None)},
    ),
    Key("P", _help("panic"), {pygame.K_p: Fire("panic")}),
    Key("F", "cover the monitor, and back to a window", {pygame.K_f: FULLSCREEN}),
    Key("H", _help("hud"), {pygame.K_h: Toggle("hud")}),
    Key("L", "learn: choose what the next control of a MIDI box moves", {pygame.K_l: LEARN}),
    Key("Q", "show the page's address, as a code for phones", {pygame.K_q: ADDRESS}),
    Key("?, F1", "show these keys", {pygame.K_QUESTION: LIST, pygame.K_F1: LIST}),
    Key("Esc", "close this list, or end the show", {pygame.K_ESCAPE: QUIT}),
)
BY_CODE = {code: (key, command) for key in KEYS for code, command in key.codes.items()}


def fine(command: Command) -> Command:
    """The same in fine steps, as with shift."""
    return replace(command, steps=command.steps / 10) if isinstance(command, Nudge) else command


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
    """The keys as a Markdown table, for lwlive/stage/README.md."""
    rows = [f"| {key.label} | {key.help} |" for key in KEYS]
    return "\n".join(["| key | what it does |", "|---|---|", *rows])
