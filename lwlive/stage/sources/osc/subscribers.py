"""Subscribers: who hears over OSC how a show stands, how often, and what each knows already.

Used by the stage's main thread alone; time is passed in, and packets are sent by whoever is given.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pythonosc.osc_message_builder import BuildError, build_msg

from lwlive.params import SPECS
from lwlive.stage.sources.osc.addresses import FADER, LEASE_S, STATUS, STATUS_PERIOD_S

MOST = 16

Sender = tuple[Any, ...]  # a socket address: host and port, for IPv6 also flow and scope
Send = Callable[[bytes, Sender], bool]  # whether there is nothing to try again


def called(sender: Sender) -> str:
    """A sender by name, as in `Arrived.by`."""
    return f"osc {sender[0]} {sender[1]}"


@dataclass
class _Subscriber:
    """Who gets status, and what it has got."""

    asked_from: Sender  # where the subscription came from; status may go to another port
    until: float | None = None  # end of the lease; None until the next `tell` says the time
    due: float = -math.inf  # no status before this time
    told: dict[str, object] = field(default_factory=dict)


class Subscribers:
    """All of them, by where their status goes."""

    def __init__(self) -> None:
        self._all: dict[Sender, _Subscriber] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, target: Sender, asked_from: Sender) -> bool:
        """Subscribe or renew, which tells everything again. False where there are too many."""
        if target in self._all:  # at the same rate
            self._all[target] = _Subscriber(asked_from, due=self._all[target].due)
        elif len(self._all) < MOST:
            self._all[target] = _Subscriber(asked_from)
        else:
            return False
        return True

    def remove(self, target: Sender) -> None:
        """Tell it nothing more."""
        self._all.pop(target, None)

    def knows(self, sender: Sender, name: str, value: object) -> None:
        """Whoever set a value knows it, so that no fader is moved under its finger."""
        for target, subscriber in self._all.items():
            if sender in (target, subscriber.asked_from):
                subscriber.told[name] = value

    def contested(self, name: str) -> None:
        """Somebody's value gave way to another's within a tick, so all hear what stands."""
        for subscriber in self._all.values():
            subscriber.told.pop(name, None)

    def tell(self, values: Mapping[str, object], now: float, send: Send) -> None:
        """Send every subscriber what differs from what it knows. Never waits or raises.

        values: by name; text, switches and numbers. What is None or not finite is left out.
        """
        known = {name: value for name, value in values.items() if _can_be_told(value)}
        built: dict[str, list[bytes]] = {}
        for target, subscriber in list(self._all.items()):
            if subscriber.until is None:
                subscriber.until = now + LEASE_S
            if now >= subscriber.until:
                del self._all[target]
                continue
            if now < subscriber.due - 1e-6:  # a tick at a whole multiple of 1/30 s is in time
                continue
            told = subscriber.told
            changed = [n for n, v in known.items() if n not in told or told[n] != v]
            if changed:
                subscriber.due = now + STATUS_PERIOD_S
            for name in changed:
                if name not in built:
                    built[name] = _messages(name, known[name])
                if all(send(packet, target) for packet in built[name]):
                    told[name] = known[name]


def _can_be_told(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def packed(address: str, value: Any) -> bytes | None:
    """A message that tells a value; None where OSC has no way to say it."""
    try:
        return build_msg(address, [value]).dgram
    except (BuildError, ValueError, OverflowError):
        return None


def _messages(name: str, value: Any) -> list[bytes]:
    """The messages that tell a value: in its own unit, and where its fader stands."""
    told = [packed(STATUS + name, value)]
    if name in SPECS and SPECS[name].kind is not str:
        told.append(packed(FADER + name, SPECS[name].position(value)))
    return [one for one in told if one is not None] if None not in told else []
