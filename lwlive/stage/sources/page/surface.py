"""The surface: what the page has on it, from the declarations, as JSON for the browser.

A new parameter or trigger gets its control without a line here. Names and ranges stand in
params.py and nowhere else. This file knows nothing of sockets or of how a control looks.
"""

from typing import Any

from lwlive import __version__
from lwlive.params import SPECS, TRIGGERS, Spec

HELD = 2**53  # a whole number above this is not exact in a browser


def surface() -> dict[str, Any]:
    """Everything that does not change while the show runs."""
    return {
        "version": __version__,
        "controls": [_control(spec) for spec in SPECS.values()],
        "triggers": [{"name": name, "help": _plain(text)} for name, text in TRIGGERS.items()],
    }


def _control(spec: Spec) -> dict[str, Any]:
    control: dict[str, Any] = {
        "name": spec.name,
        "kind": spec.kind.__name__,
        "help": _plain(spec.help),
        "expected": spec.expected(),
        "unit": spec.unit,
        "default": spec.default,
        "look": spec.look,
        "stage": spec.stage,
    }
    if spec.kind is str:
        return control | {"longest": int(spec.high)}
    low, high = spec.travel
    return control | {
        "low": spec.low,
        "high": min(spec.high, HELD),
        "travel": [low, high],
        "curve": spec.curve,
        "step": spec.step or (1 if spec.kind is int else (high - low) / 50),
    }


def _plain(text: str) -> str:
    return text.replace("`", "")
