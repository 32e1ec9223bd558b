"""Routes over OSC: an address for each key of a route, and what subscribers are told of them."""

from collections.abc import Sequence

import pytest

from lwlive.commands import Alter, Amount, Command, Unpatch
from lwlive.controls import Controls
from lwlive.params import ControlError, Params
from lwlive.routes import BANDS, ROUTES, SHAPES, Band, Lfo, Route
from lwlive.stage.sources.osc.addresses import addresses, heard, listened
from lwlive.stage.sources.osc.packet import Argument

ROWS = listened()


def asked(address: str, *values: Argument) -> Command | None:
    """What a message asks for."""
    return heard(ROWS[f"/lwlive/route/{address}"], values)[0]


def done(*messages: tuple[str, Argument]) -> Controls:
    """Controls after these messages."""
    controls = Controls(Params())
    for address, value in messages:
        command = asked(address, value)
        if command is not None:
            controls.do(command)
    return controls


def test_each_route_has_an_address_for_each_of_its_keys() -> None:
    told = {row.address for row in addresses() if row.verb == "route"}
    assert len(told) == 8
    each = {a.replace("<n>", str(n)) for a in told for n in range(1, ROUTES + 1)}
    assert each == {address for address, row in ROWS.items() if row.verb == "route"}
    assert not any("<" in address for address in ROWS)


def test_a_route_is_made_message_by_message_in_any_way_that_programs_send() -> None:
    sent: Sequence[tuple[str, Argument]] = (
        ("3/parameter", '"speed"'),
        ("3/lfo", "square"),
        ("3/seconds", "2.5"),
        ("3/offset", 0.25),
        ("3/amount", 1),
    )
    route = Route("speed", 1.0, Lfo("square", 2.5, "seconds", 0.25), 3)
    assert done(*sent).snapshot.routes == (route,)
    assert done(*sent, ("3/beats", 8)).snapshot.routes[0].source == Lfo(
        "square", 8.0, "beats", 0.25
    )
    onset = done(*sent, ("3/band", "onset")).snapshot.routes
    assert onset == (Route("speed", 1.0, Band("onset"), 3),)
    again = done(*sent, ("3/band", "onset"), ("3/lfo", "saw")).snapshot.routes
    assert again[0].source == Lfo("saw")
    assert done(*sent, ("3/off", 1)).snapshot.routes == ()
    assert done(*sent, ("3/off", 0)).snapshot.routes == (route,)


def test_what_a_message_asks_for() -> None:
    assert asked("16/amount", -0.5) == Amount(16, -0.5)
    assert asked("1/lfo", "smooth") == Alter(1, "lfo", "smooth")
    assert asked("1/off") == Unpatch(1)
    assert asked("1/off", False) is None


@pytest.mark.parametrize(
    ("address", "value", "why"),
    [
        ("1/parameter", "sped", "there is no parameter 'sped'"),
        ("1/parameter", "prompt", "prompt is not a number"),
        ("1/parameter", 3, "takes the name of a number, not 3"),
        ("1/amount", 1.5, "amount takes a number from -1 to 1, not 1.5"),
        ("1/amount", float("nan"), "takes -1 to 1, not nan"),
        ("1/amount", True, "takes -1 to 1, not True"),
        ("1/lfo", "wave", f"lfo is one of {', '.join(SHAPES)}"),
        ("1/band", "treble", f"band is one of {', '.join(BANDS)}"),
        ("1/beats", 0, "beats takes a number from 0.05 to 3600, not 0"),
        ("1/off", "x", "takes 1 to fire"),
    ],
)
def test_what_is_wrong_is_refused_before_it_is_kept(
    address: str, value: Argument, why: str
) -> None:
    with pytest.raises(ControlError, match=why):
        asked(address, value)


def test_a_route_that_is_not_there_begins_with_its_parameter() -> None:
    with pytest.raises(ControlError, match="no route 2, which begins with its parameter"):
        done(("2/lfo", "sine"))
    with pytest.raises(ControlError, match="there is no route 2; there are none"):
        done(("2/amount", 0.5))
