"""The state: how a show stands, as text for the page's process, and as what has changed in it.

What is written comes from `Status` as it is, field by field, so that a new figure is on the page
without a line here. This file knows nothing of processes, sockets or browsers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from lwlive.stage.status import Status

State = dict[str, Any]  # as it is read: sections, or single values, by name


def written(status: Status, answers: Sequence[Any], log: str) -> bytes:
    """The state as JSON. answers: what was refused to whom; log: its newest lines, as JSON.

    The log is large and rarely new, so it is not put into JSON here each time.
    """
    state: State = {each.name: getattr(status, each.name) for each in fields(status)}
    del state["params"], state["now"]  # values are added below; clocks tell the time
    del state["machine"]
    state |= {
        **vars(status.machine),
        "values": status.values(),
        "phase": round(status.phase, 1),  # what changes with every tick is sent with every tick
        "since_start_s": int(status.since_start_s),
        "answers": answers,
    }
    state["values"]["phase"] = state["phase"]
    state["moved"] = {name: round(at, 3) for name, at in status.moved.items()}
    text = json.dumps(state, default=_plain, ensure_ascii=False)
    return f'{text[:-1]}, "log": {log}}}'.encode("utf-8", "surrogatepass")


def read(state: bytes) -> State:
    """What was written. NaN and the infinities, which JSON has not, are None."""
    found: State = json.loads(state, parse_constant=lambda _: None)
    return found


def changed(before: State, after: State) -> State:
    """What to send to somebody who knows `before`. Sections are compared key by key.

    What is gone from a section is sent as None.
    """
    found: State = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            new = {key: one for key, one in value.items() if key not in old or old[key] != one}
            new |= dict.fromkeys(old.keys() - value.keys())
            if new:
                found[name] = new
        elif name not in before or old != value:
            found[name] = value
    return found


def _plain(value: Any) -> Any:
    """Whatever JSON does not know: the fields of a small dataclass, else its text.

    What is left of a wait is sent in tenths of a second: it would be news with every tick.
    """
    if is_dataclass(value) and not isinstance(value, type):
        told = {each.name: getattr(value, each.name) for each in fields(value)}
        return {n: round(v, 1) if n == "until_s" and v is not None else v for n, v in told.items()}
    return list(value) if isinstance(value, set | frozenset) else str(value)
