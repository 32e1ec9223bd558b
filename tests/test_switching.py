"""Outputs for other programs in a whole show: what they get, and how they are switched."""

import time
from pathlib import Path
from typing import Any

import pytest
from feeds import Told, until
from test_show import Run, run

from lwlive.commands import Set, Switch
from lwlive.config import Config
from lwlive.params import ControlError, Params
from lwlive.stage import rig
from lwlive.stage.outputs import feed, ndi, stream
from lwlive.stage.outputs.feed import Feed
from lwlive.stage.sources.keys import KEYS
from lwlive.stage.sources.osc.addresses import addresses, heard

__all__ = ["run"]  # a fixture


@pytest.fixture
def sinks(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[int, Any]]]:
    """What NDI and the streams of a show got; each tick waits for them to take their picture."""
    seen: dict[str, list[tuple[int, Any]]] = {"ndi": [], "stream": []}
    monkeypatch.setattr(ndi, "Ndi", lambda *_: Told(seen["ndi"], {}))
    monkeypatch.setattr(stream, "Stream", lambda *_: Told(seen["stream"], {}))
    monkeypatch.setattr(ndi, "check", lambda: None)
    put = Feed.put

    def taken(feed: Feed, picture: Any) -> None:
        put(feed, picture)
        outbox = feed._outbox
        if outbox is not None:
            until(lambda: outbox._taken == outbox._done, "a picture is not taken")
        for one in feed._ending:
            until(lambda one=one: one.over, "it does not end")  # type: ignore[misc]

    monkeypatch.setattr(Feed, "put", taken)
    return seen


def test_several_get_the_very_pictures_that_are_shown_dimmed_and_without_the_hud(
    run: Run, sinks: Any
) -> None:
    run.params = Params(brightness=0.5, hud=True, steps=4, guidance=1)
    run.play(1, ndi="lwlive", stream=["udp://127.0.0.1:5000"], record=run.folder / "a.mp4")
    assert [n for n, _ in sinks["ndi"]] == [n for n, _ in sinks["stream"]] == list(range(30))
    for (_, one), (_, other) in zip(sinks["ndi"], sinks["stream"], strict=True):
        assert one is other  # dimmed once for all, and copied never
        assert (one == 100).all()
    assert (run.recorders[0].pictures[7] == 100).all()
    told = run.show.statistics()
    assert told["ndi"]["sent"] == told["stream"]["sent"] == 30
    assert told["ndi"]["dropped"] == 0
    assert "camera" not in told


def test_they_go_dark_with_a_blackout(run: Run, sinks: Any) -> None:
    run.osc.arrives[10] = [Set("blackout", True)]
    run.play(2, ndi="lwlive")
    assert (sinks["ndi"][5][1] == 200).all()
    assert not sinks["ndi"][-1][1].any()


def test_one_is_switched_over_osc_while_the_others_go_on(run: Run, sinks: Any) -> None:
    run.osc.arrives[10] = [Switch("ndi", False)]
    run.osc.arrives[20] = [Switch("ndi", True)]
    told: dict[int, Any] = {}

    def look() -> None:
        told[run.osc.tick - 1] = dict(run.osc.told[0])

    for tick in (9, 15, 25):
        run.osc.happens[tick + 1] = look
    run.play(1, ndi="lwlive", stream=["udp://127.0.0.1:5000"])
    assert [n for n, _ in sinks["ndi"]] == [*range(10), *range(20, 30)]
    assert [n for n, _ in sinks["stream"]] == list(range(30))
    assert [told[tick]["output/ndi"] for tick in (9, 15, 25)] == [True, False, True]
    assert told[9]["output/stream"] is True


def test_one_that_was_not_asked_for_can_be_switched_on(run: Run, sinks: Any) -> None:
    run.osc.arrives[10] = [Switch("ndi", True)]
    run.play(1)
    assert [n for n, _ in sinks["ndi"]] == list(range(10, 30))


def test_a_key_switches_all_that_the_show_was_started_with(run: Run, sinks: Any) -> None:
    (key,) = (key for key in KEYS if key.label == "O")
    (command,) = key.codes.values()
    for tick in (10, 20):
        run.key(tick, command)
    run.play(1, ndi="lwlive", stream=["udp://127.0.0.1:5000"])
    wanted = [*range(10), *range(20, 30)]
    assert [n for n, _ in sinks["ndi"]] == [n for n, _ in sinks["stream"]] == wanted


def test_one_that_there_is_not_is_refused_and_nothing_changes(run: Run, sinks: Any) -> None:
    run.osc.arrives[10] = [Switch("stream", True), Switch("what", False)]
    run.play(1, ndi="lwlive")
    assert len(sinks["ndi"]) == 30
    assert len(run.osc.refusals) == 2
    assert "there is no output 'stream' in this show; there are ndi" in run.osc.refusals[0]


def test_every_output_has_an_address_that_takes_a_level() -> None:
    rows = [row for row in addresses() if row.verb == "output"]
    assert [row.address for row in rows] == [
        f"/lwlive/output/{name}" for name in ("ndi", "spout", "syphon", "camera", "stream")
    ]
    for value, on in ((1, True), (0, False), (0.6, True), ("off", False), (True, True)):
        assert heard(rows[0], [value]) == (Switch("ndi", on), False)
    for wrong in ("what", None, float("nan")):
        with pytest.raises(ControlError, match="/lwlive/output/ndi takes on or off"):
            heard(rows[0], [wrong])


def test_a_show_whose_pictures_go_somewhere_is_not_recorded_for_want_of_a_window() -> None:
    assert rig.lone(Config(headless=True), None)
    assert not rig.lone(Config(headless=True, ndi="lwlive"), None)
    assert not rig.lone(Config(headless=True, stream=["udp://127.0.0.1:5000"]), None)
    assert not rig.lone(Config(headless=True, state=Path("s.json")), None)


def test_a_folder_of_a_stream_that_is_away_is_waited_for_where_nobody_could_make_it(
    run: Run, sinks: Any
) -> None:
    away = str(run.folder / "nowhere" / "a.m3u8")
    with pytest.raises(ControlError, match="there is no folder"):
        run.play(0.1, stream=[away])
    run.play(0.1, stream=[away], state=run.folder / "s.json")
    assert len(sinks["stream"]) == 3


def test_what_is_not_installed_or_no_address_ends_the_start_with_a_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "find_spec", lambda _: None)
    with pytest.raises(ControlError, match="NDI is not installed"):
        run.play(1, ndi="lwlive")
    with pytest.raises(ControlError, match="is not an address"):
        run.play(1, stream=["udp://nowhere"])


def test_a_snapshot_is_written_by_its_trigger(run: Run) -> None:
    from lwlive.commands import Fire

    run.osc.arrives[10] = [Fire("snapshot")]
    run.play(1)
    end = time.monotonic() + 10
    while not list(Path(run.folder).glob("*.toml")) and time.monotonic() < end:
        time.sleep(0.01)
    (path,) = Path(run.folder).glob("*.png")
    assert path.with_suffix(".toml").exists()
    assert run.show.statistics()["snapshots"] == {"written": 1}
