"""A month of a show in simulated time: it plays around its cues, and its machine sleeps in between.

Clocks, dates, hourly and daily work see the whole month; of pictures there is half an hour.
test_long.py plays two hours without a gap.
"""

import json
import re
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from fakes import SPAWN, flat
from test_long import Engines, Storm, Time, in_use
from test_state import status

from lwlive.checkpoint import Size
from lwlive.config import Config
from lwlive.controls import Controls
from lwlive.cuelist import Cue, CueList
from lwlive.params import Params
from lwlive.ring import Ring, slots
from lwlive.snapshot import Snapshot
from lwlive.stage.desk import Desk
from lwlive.stage.master import Master
from lwlive.stage.outputs.journal import Journal
from lwlive.stage.parts import Arrived, Picture
from lwlive.stage.rig import rigged
from lwlive.stage.show import Show
from lwlive.stage.state import State, told
from lwlive.stage.supply import Shown, Supply

FPS, DAYS = 2.0, 31
LOOKS = 10, 30  # days after which what is in use is looked at
OPENS, CLOSES = time(10), time(22)
EARLY_S, PLAYED_S = 10.0, 30.0  # before each cue, and around it
BEGUN = datetime(2026, 3, 10, 9, 59, 50)
SUMMER = datetime(2026, 3, 29, 2)  # an hour is left out
WRONG = {5: -49.0, 12: -1.5, 20: -700.0}  # day -> hours by which the clock is set wrong for a while
CUES = CueList(
    (
        Cue("open", {"prompt": "sea", "speed": 0.2}, at=OPENS),
        Cue("closed", {"prompt": "nebula", "speed": 0.05}, at=CLOSES),
    )
)


class Month(Storm):
    """Storm on every day: hands, a death, a clock set wrong, and a machine that sleeps."""

    def __init__(self, engines: Engines, clock: Time) -> None:
        super().__init__(engines, in_use)
        self.clock, self.begun = clock, clock.time
        self.wrong_h = 0.0
        self.piece = 0  # of the month: the morning's and the evening's of each day
        self.piece_at = clock.time
        self.days: dict[int, dict[str, float]] = {}

    def there(self) -> datetime:
        """The date and time that the machine tells."""
        right = BEGUN + timedelta(seconds=self.clock.time - self.begun)
        summer = timedelta(hours=1) if right >= SUMMER else timedelta()
        return right + summer + timedelta(hours=self.wrong_h)

    def poll(self, now: float) -> list[Arrived]:
        """Steer; when a piece is over, the machine sleeps until the next."""
        found = super().poll(now)
        played = self.clock.time - self.piece_at
        day, evening = divmod(self.piece, 2)
        self.wrong_h = WRONG.get(day, 0.0) if evening and 16 < played < 24 else 0.0
        if played >= PLAYED_S:
            if not evening and day in LOOKS:
                self.days[day] = in_use()
            self.piece += 1
            self._sleep()
        return found

    def _sleep(self) -> None:
        """Until shortly before the next cue, as the clock on the wall has it."""
        there = self.there()
        wakes = [
            datetime.combine(there.date() + timedelta(days=ahead), cue) - timedelta(seconds=EARLY_S)
            for ahead in (0, 1)
            for cue in (OPENS, CLOSES)
        ]
        ahead = min(wake for wake in wakes if wake > there) - there
        if there < SUMMER <= there + ahead:
            ahead -= timedelta(hours=1)
        self.clock.time += ahead.total_seconds()
        self.piece_at = self.clock.time


@pytest.mark.slow
def test_a_month_has_each_cue_once_a_day_and_leaves_memory_and_files_as_they_were(
    tmp_path: Path,
) -> None:
    engines = Engines(Time())
    clock, params = engines.clock, Params(speed=0.1, transition=3.0)
    controls = Controls(params)
    supply = Supply(
        engines, lambda: Ring.create(SPAWN, slots(FPS), 16, 16), FPS, controls.snapshot, clock.now()
    )
    month = Month(engines, clock)
    came: list[tuple[datetime, str]] = []
    config = Config(
        fps=FPS,
        duration=DAYS * 86_400.0 - 7200,  # summer time has come, and the last morning has not
        folder=tmp_path,
        journal=tmp_path / "journal",
        state=tmp_path / "state",
        keep_days=7,
    )
    begun = State({}, settings=told(params))
    with supply:
        desk = Desk(tmp_path, controls, cues=CUES)
        assert desk.cues is not None
        desk.cues.now_there = month.there
        desk.cues.say = lambda text: came.append((month.there(), text.rpartition(" ")[2]))
        sources, outputs = rigged(config, Size(16, 16), desk, None, None, begun=begun)
        parts = [*sources, month], outputs
        Show(config, desk, supply, Size(16, 16), clock, clock.now(), *parts).run()
    for ring in engines.rings:
        ring.close()

    days = Counter((there.date(), name) for there, name in came)
    assert set(days.values()) == {1}, "no cue comes twice on one day"
    assert [name for _, name in came] == ["open", "closed"] * (len(came) // 2)
    assert len(came) == 2 * DAYS
    for there, name in came:
        due = datetime.combine(there.date(), OPENS if name == "open" else CLOSES)
        assert timedelta() <= there - due < timedelta(seconds=2 / FPS), (there, name)

    early, last = (month.days[day] for day in LOOKS)
    print(early, last)
    # The newest thousand controls are kept, three objects each; some 330 came in between.
    assert last["objects"] < early["objects"] + 1500
    assert last["megabytes"] < early["megabytes"] + 32
    for same in ("threads", "files", "handles"):
        assert last[same] == early[same], same
    assert supply.host.deaths == 2
    state = (tmp_path / "state").read_text()
    assert re.search(r'"ended": true', state)
    assert '"cue": "closed"' in state


def test_a_journal_passes_over_a_sleep_of_years_and_keeps_the_level_after_it(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    journal = Journal(tmp_path / "j", Config(), Size(8, 8), said.append)
    shown, params = Shown(flat(9), None, True), Params(brightness=0.25)

    def tick(n: int, level: float, asked: Params) -> None:
        journal.tick(n, shown, asked, 1, None, 30.0, level, {})

    tick(0, 0.25, params)
    tick(1, 0.25, params)
    master, dark = Master(Snapshot(0, params)), replace(params, blackout=True)
    last = 2 + 30 * 86_400 * 3650
    for n in range(2, 32):  # on its way to black
        tick(n, master.step(Snapshot(0, dark), 1 / 30), dark)
    tick(last, 0.0, dark)
    tick(last + 1, 0.0, dark)
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert not [line for line in lines if line.get("level") is not None], (
        "the master alone tells it"
    )
    assert sum(line.get("repeat", 0) for line in lines) == last + 2
    assert not said


def test_a_journal_that_is_lost_begins_again_where_there_is_no_thread_to_be_had_just_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    journal = Journal(tmp_path / "j", Config(), Size(8, 8), said.append)
    journal._lines.over = True  # its file is gone

    def put(tick: int) -> None:
        journal.put(Picture(flat(9), tick, 1.0, Shown(flat(9), None, True), status(tick / 30)))

    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        for tick in range(3):
            put(tick)
    for tick in range(3, 6):
        put(tick)
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / "j-2").read_text().splitlines()]
    assert [line["tick"] for line in lines if "repeat" in line] == [0, 1]
