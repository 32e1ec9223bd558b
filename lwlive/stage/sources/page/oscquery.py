"""OSCQuery: what may be sent over OSC, as a tree that other programs read (Vidvox's proposal).

The tree comes from the same rows as OSC's own addresses. Pure: rows, values and a question in, an
answer out. This file knows nothing of sockets or of who asks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lwlive.changes import LONGEST_S
from lwlive.params import SPECS, Spec
from lwlive.routes import BANDS, LONGEST, SHAPES, SHORTEST
from lwlive.stage.sources.osc.addresses import FADER, ROOT, STATUS, Row, listened
from lwlive.stage.sources.page.state import State

Node = dict[str, Any]

NAME = "lwlive"
CONTROL = ("ACCESS", "VALUE", "RANGE", "DESCRIPTION", "CLIPMODE", "UNIT", "CRITICAL")
ATTRIBUTES = ("FULL_PATH", "CONTENTS", "TYPE", *CONTROL)
EXTENSIONS = {
    **dict.fromkeys((*CONTROL, "LISTEN"), True),
    **dict.fromkeys(("PATH_CHANGED", "PATH_ADDED", "PATH_REMOVED", "PATH_RENAMED"), False),
    **dict.fromkeys(("TAGS", "EXTENDED_TYPE", "OVERLOADS", "HTML", "ECHO"), False),
}
_LETTERS = {str: "s", bool: "T", int: "i", float: "f"}
_UNITS = {"s": "time.second", "ms": "time.millisecond", "BPM": "time.bpm"}  # the proposal's names
_INT_MAX = 2**31 - 1  # of OSC's type i
_READ, _WRITE = 1, 2
_ROWS = listened()
_OF_ROUTES = {  # what the keys of a route take: from where to where, or which names
    "amount": (-1.0, 1.0),
    "offset": (-1.0, 1.0),
    "beats": (SHORTEST, LONGEST),
    "seconds": (SHORTEST, LONGEST),
    "lfo": tuple(SHAPES),
    "band": BANDS,
}


@dataclass(frozen=True)
class Host:
    """Where OSC goes."""

    ip: str
    osc_port: int
    port: int  # of this server, whose WebSocket streams values


def host_info(host: Host) -> Node:
    """The answer to ?HOST_INFO."""
    return {
        "NAME": NAME,
        "OSC_IP": host.ip,
        "OSC_PORT": host.osc_port,
        "OSC_TRANSPORT": "UDP",
        "WS_IP": host.ip,
        "WS_PORT": host.port,
        "EXTENSIONS": EXTENSIONS,
    }


def tree(values: Mapping[str, Any], presets: Sequence[str]) -> Node:
    """The whole tree. values: what subscribers to OSC get, by name."""
    root = _container("/")
    for row in _ROWS.values():
        _plant(root, _leaf(row, values, presets))
    for name, value in values.items():
        about = SPECS[name].help if name in SPECS else "a figure of the show"
        kind = SPECS[name].kind if name in SPECS else type(value)
        node = _node(STATUS + name, _LETTERS.get(kind, "s"), _READ, value, f"{about}, as it is")
        _plant(root, node)
    return root


def answer(root: Node, path: str, query: str) -> tuple[int, Node | None]:
    """The status and the JSON for a path and what stands behind its question mark."""
    node: Node | None = root
    for part in path.strip("/").split("/"):
        if part and node is not None:
            node = node.get("CONTENTS", {}).get(part)
    if node is None:
        return 404, None
    attribute = query.partition("=")[0].partition("&")[0]
    if not attribute:
        return 200, node
    if attribute not in ATTRIBUTES:
        return 400, None
    return (200, {attribute: node[attribute]}) if attribute in node else (204, None)


def value_at(state: State, path: str) -> Any:
    """The value that a path has at present; None where it has none."""
    values = state.get("values", {})
    if path.startswith(STATUS):
        return values.get(path.removeprefix(STATUS))
    if path.startswith(FADER):
        name = path.removeprefix(FADER)
        value = values.get(name)
        fades = name in SPECS and SPECS[name].kind is not str and value is not None
        return SPECS[name].position(value) if fades else None
    return values.get(path.removeprefix(ROOT)) if path in _ROWS else None


def _leaf(row: Row, values: Mapping[str, Any], presets: Sequence[str]) -> Node:
    state = {"values": values}
    value = value_at(state, row.address)
    if row.verb == "set":
        return _node(row.address, *_of(SPECS[row.name], value), row.help, SPECS[row.name])
    if row.verb == "fader":
        node = _node(row.address, "f", _READ | _WRITE, value, row.help)
        node |= {"RANGE": [{"MIN": 0.0, "MAX": 1.0}], "CLIPMODE": ["both"]}
        return node
    if row.verb == "output":
        return _node(row.address, "T", _READ | _WRITE, value, row.help)
    fires = row.verb == "trigger" or (row.verb, row.name) == ("route", "off")
    texts = row.tags in ("s", "s sf", "none s") or row.verb == "cue"
    letter = "I" if fires else "s" if texts else "f" if row.verb == "route" else "i"
    access = _READ | _WRITE if row.verb == "route" and not fires else _WRITE
    node = _node(row.address, letter, access, value if access & _READ else None, row.help)
    node["CRITICAL"] = letter != "f"
    if row.verb == "preset":  # the seconds may be left out, which a tree cannot say
        node |= {"TYPE": "sf", "VALUE": [None, None], "UNIT": [None, _UNITS["s"]]}
        node["RANGE"] = [{"VALS": list(presets)}, {"MIN": 0.0, "MAX": LONGEST_S}]
        node["CLIPMODE"] = ["none", "none"]
    if row.verb == "route" and row.name in _OF_ROUTES:
        takes = _OF_ROUTES[row.name]
        ends = {"MIN": takes[0], "MAX": takes[-1]}
        node["RANGE"] = [{"VALS": list(takes)} if letter == "s" else ends]
    return node


def _of(spec: Spec, value: Any) -> tuple[str, int, Any]:
    return _LETTERS[spec.kind], _READ | _WRITE, value


def _node(
    path: str, letter: str, access: int, value: Any, about: str, spec: Spec | None = None
) -> Node:
    """A leaf. VALUE, RANGE, CLIPMODE and UNIT have an entry for each letter of TYPE."""
    node: Node = {
        "FULL_PATH": path,
        "TYPE": letter,
        "ACCESS": access,
        "VALUE": [value],
        "DESCRIPTION": about.replace("`", ""),
        "CRITICAL": letter == "s" and access & _WRITE > 0,
    }
    if spec is not None and spec.kind in (int, float):
        high = min(spec.high, _INT_MAX) if spec.kind is int else spec.high
        node["RANGE"] = [{"MIN": spec.kind(spec.low), "MAX": spec.kind(high)}]
        node["CLIPMODE"] = ["none"]
    if spec is not None and spec.unit:
        node["UNIT"] = [_UNITS.get(spec.unit, spec.unit)]
    return node


def _container(path: str) -> Node:
    return {"FULL_PATH": path, "ACCESS": 0, "DESCRIPTION": NAME, "CONTENTS": {}}


def _plant(root: Node, leaf: Node) -> None:
    """Put a leaf in its place."""
    *folders, name = leaf["FULL_PATH"].strip("/").split("/")
    node = root
    for i, folder in enumerate(folders):
        path = "/" + "/".join(folders[: i + 1])
        node = node["CONTENTS"].setdefault(folder, _container(path))
        node.setdefault("CONTENTS", {})
    node["CONTENTS"][name] = leaf
