"""What several test files share: a screen, one thread each, and no hurry on a slow machine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from lwlive.openmp import spin_briefly

# Read once, when torch is first imported, and inherited by every process that a test starts: as
# many workers as there are cores, each with threads for all of them, would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
spin_briefly(os.environ)

# A shell starts what runs in the background with these ignored, and every child would inherit it.
for _name, _handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    _number = getattr(signal, _name, None)
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

os.environ.pop("NOTIFY_SOCKET", None)  # of a service that runs the tests, and not of their shows

_STATE = tempfile.TemporaryDirectory(prefix="lwlive-state-")  # shows write their logs there
os.environ["XDG_STATE_HOME"] = _STATE.name

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("unhurried"), max_examples=25)
settings.load_profile("unhurried")


# Files whose tests play in real time with programs of other people: a screen, a browser, MIDI and
# sound servers, receivers. Where the machine does something else for a second, they try again;
# what is really broken fails every time, and what was tried again is told at the end.
REAL_TIME = {
    *("test_audio", "test_beats", "test_bench", "test_browser", "test_cli", "test_clock_jack"),
    *("test_display", "test_engine", "test_feed", "test_guard", "test_link", "test_logs"),
    *("test_midi_jack", "test_midi_source", "test_month", "test_ndi", "test_openmp", "test_osc"),
    *("test_page", "test_recorded_sound", "test_recorder", "test_renewal", "test_shared"),
    *("test_show", "test_soak", "test_sound_rig", "test_sound_walk", "test_soundtrack"),
    *("test_storm", "test_stream", "test_supply", "test_switching", "test_timetag", "test_window"),
}
TRIES = 2  # after the first


# Files that take longest, those first, so that no worker is left with one in the end. Two names
# together are for one worker: two shows beside each other would need four cores.
LONGEST = (
    *("test_soak", "test_engine test_bench", "test_prove", "test_month", "test_page", "test_beats"),
    *("test_browser", "test_film", "test_journal", "test_midi_jack", "test_display", "test_stream"),
    *("test_window", "test_scripts", "test_logs", "test_osc", "test_show", "test_cli", "test_ndi"),
    *("test_audio", "test_long", "test_sound_rig", "test_sound_walk", "test_storm", "test_supply"),
    "test_recorder",
)
PLACES = {name: place for place, names in enumerate(LONGEST) for name in names.split()}


# Two workers play in real time, which is waiting for the most part; a third one computes meanwhile.
ASIDE = "gw2"
GIVING_WAY = 10


class Files(LoadScopeScheduling):  # type: ignore[misc]  # it has no annotations
    """Keeps the tests of a file on one worker: they share what takes long to make.

    What plays in real time comes first on two workers, and never on the one that gives way.
    """

    def _split_scope(self, nodeid: str) -> str:
        name = Path(nodeid.partition("::")[0]).stem
        return LONGEST[PLACES[name]] if name in PLACES else name

    def _next(self, node: Any) -> str | None:
        """The files that are next for a worker, None where there are none for it any more."""
        plays = {names: not REAL_TIME.isdisjoint(names.split()) for names in self.workqueue}
        if node.gateway.id == ASIDE:
            return next((names for names in plays if not plays[names]), None)
        return max(plays, key=plays.__getitem__, default=None)  # the first of the largest

    def _assign_work_unit(self, node: Any) -> None:
        if (names := self._next(node)) is not None:
            self.workqueue.move_to_end(names, last=False)
            super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        if self._next(node) is not None:
            super()._reschedule(node)
        elif not node.shutting_down:
            node.shutdown()  # once it has run what it has


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give way, where this worker is the one that does; fewer examples for the quick tests."""
    # On each test that may be tried again, a worker sends two short notes to the first process.
    # Unless it is told otherwise, TCP holds back the second one for 40 ms.
    notes = getattr(getattr(config, "failures_db", None), "sock", None)
    if notes is not None:
        notes.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if config.getoption("markexpr") == "not slow":
        settings.load_profile("quick")
    if getattr(config, "workerinput", {}).get("workerid") == ASIDE and hasattr(os, "nice"):
        os.nice(GIVING_WAY)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Files:
    """What hands tests to workers, in the order below."""
    config.option.loadscopereorder = False
    return Files(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and try again what plays in real time."""
    items.sort(key=lambda item: PLACES.get(item.path.stem, len(LONGEST)))
    for item in items:
        if item.path.stem in REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=TRIES, reruns_delay=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Put torch's threads back: with those of one test, all that follow would spin for each other.

    Whoever measures a machine, builds, trains or benches chooses them.
    """
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 0
    done = yield
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return done


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """A worker's report as UTF-8 holds it: what a test captured may be half of a character."""
    data: Any = yield
    return escaped(data)


def escaped(data: Any) -> Any:
    """The same in what workers can send: texts with backslashes for what is not UTF-8."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(data, dict):
        return {key: escaped(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return type(data)(escaped(value) for value in data)
    if data is None or isinstance(data, bool | int | float | bytes):
        return data
    return repr(data)  # what a worker could not send, and would end the whole run


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    """The name of an X display with two screens of 640 by 400."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed, so no window can be tried (Debian: apt install xvfb)")
    ready, number = os.pipe()
    screens = ["-screen", "0", "640x400x24", "-screen", "1", "640x400x24"]
    # -noreset: else the server starts afresh, deaf for a moment, when its last window closes.
    command = ["Xvfb", "-displayfd", str(number), "-noreset", "-nolisten", "tcp", *screens]
    server = subprocess.Popen(command, pass_fds=[number], stderr=subprocess.DEVNULL)
    os.close(number)
    try:
        with os.fdopen(ready) as told:
            yield f":{int(told.readline())}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint as far as the stage looks at it: 64 pixels, no weights."""
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "scheduler").mkdir()
    (folder / "vae").mkdir()
    (folder / "vae" / "config.json").write_text('{"_class_name": "AutoencoderTiny"}')
    (folder / "model_index.json").write_text(
        '{"unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["t", "CLIPTextModel"]}'
    )
    (folder / "unet" / "config.json").write_text('{"sample_size": 8}')
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    return folder
