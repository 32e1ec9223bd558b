"""The ring: order, rewinding, slots and memory."""

import errno
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from fakes import SPAWN, checksummed, flat, stream
from hypothesis import given, settings
from hypothesis import strategies as st

from lwlive.ring import BANDS, SHARED, Frame, Ring, slots


@contextmanager
def both_ends(count: int, side: int = 8) -> Iterator[tuple["Writer", Ring]]:
    reader = Ring.create(SPAWN, count, side, side)
    writer = Writer(Ring.attach(reader.handle))
    try:
        yield writer, reader
    finally:
        writer.ring.close()
        reader.close()


class Writer:
    """The engine's side: numbered frames, each of which says its epoch and number in its pixels."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.next = self.epoch = 0

    def has_room(self) -> bool:
        free = self.ring.handle.free
        if free.acquire(block=False):
            free.release()
            return True
        return False

    def put(self, count: int = 1) -> list[tuple[int, int]]:
        """As many frames as go in, at most `count`, as (number, epoch)."""
        done = []
        for _ in range(count):
            if not self.has_room():
                break
            pixels = flat((7 * self.next + self.epoch) % 256)
            frame = Frame(pixels, self.next, self.epoch, self.next / 8, True, self.epoch)
            assert self.ring.put(frame, wait=False)
            done.append((self.next, self.epoch))
            self.next += 1
        return done

    def rewind(self, number: int) -> None:
        self.next, self.epoch = number, self.epoch + 1


def numbers(ring: Ring, count: int = 100) -> list[tuple[int, int]]:
    frames = (ring.take() for _ in range(count))
    return [(frame.number, frame.epoch) for frame in frames if frame is not None]


def test_frames_come_out_once_each_in_order_with_all_that_they_carry() -> None:
    with both_ends(4) as (writer, reader):
        assert reader.take() is None
        for number in range(50):
            writer.put()
            frame = reader.take()
            assert frame is not None
            assert (frame.number, frame.version, frame.phase) == (number, 0, number / 8)
            assert frame.sampled is True
            assert (frame.pixels == 7 * number % 256).all()
            assert reader.take() is None


def test_a_full_ring_takes_no_frame_and_makes_a_writer_that_waits_do_so() -> None:
    with both_ends(3) as (writer, reader):
        assert len(writer.put(10)) == 3
        frame = Frame(flat(0), 3, 0, 0.0, True)
        assert not writer.ring.put(frame, wait=False)
        waiting = threading.Thread(target=writer.ring.put, args=(frame,), daemon=True)
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        assert numbers(reader, 2) == [(0, 0), (1, 0)]
        waiting.join(60)
        assert numbers(reader) == [(2, 0), (3, 0)]


def test_room_is_what_can_be_put_without_waiting() -> None:
    with both_ends(5) as (writer, reader):
        for takes in (0, 1, 3, 2, 1, 5, 4):
            numbers(reader, takes)
            room = writer.ring.room
            assert len(writer.put(100)) == room
        assert writer.ring.room == 0


def test_the_picture_taken_is_not_written_over_until_the_next_take() -> None:
    with both_ends(3) as (writer, reader):
        writer.put(3)
        frame = reader.take()
        assert frame is not None
        writer.put(10)
        assert (frame.pixels == 0).all()
        assert not writer.has_room()
        del frame


def test_old_frames_are_shown_until_the_new_epoch_is_in_and_none_of_those_it_replaces_after() -> (
    None
):
    with both_ends(32) as (writer, reader):
        writer.put(10)
        assert numbers(reader, 2) == [(0, 0), (1, 0)]
        writer.rewind(5)
        assert numbers(reader, 1) == [(2, 0)]
        writer.put(1)
        assert numbers(reader) == [(3, 0), (4, 0), (5, 1)]
        writer.put(2)
        assert numbers(reader) == [(6, 1), (7, 1)]


def test_a_new_epoch_that_comes_too_late_does_not_repeat_what_was_shown() -> None:
    with both_ends(32) as (writer, reader):
        writer.put(10)
        numbers(reader, 8)
        writer.rewind(5)
        writer.put(5)
        assert numbers(reader) == [(8, 1), (9, 1)]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(2, 12),
    st.lists(
        st.tuples(st.sampled_from(["put", "put", "take", "take", "rewind"]), st.integers(1, 9)),
        max_size=60,
    ),
)
def test_whatever_the_interleaving_the_reader_sees_the_newest_plan_and_numbers_rise(
    count: int, schedule: list[tuple[str, int]]
) -> None:
    plan: dict[int, int] = {}  # number -> epoch, of what is still to be shown
    arrived: list[tuple[int, int]] = []  # since the reader looked last
    last = -1
    with both_ends(count) as (writer, reader):
        for what, amount in schedule:
            if what == "rewind":
                writer.rewind(max(0, writer.next - amount))
            elif what == "put":
                arrived += writer.put(amount)
            else:
                for _ in range(amount):
                    for number, epoch in arrived:
                        if number > last:  # those that come too late replace none
                            plan = {n: e for n, e in plan.items() if n < number}
                            plan[number] = epoch
                    arrived.clear()
                    frame = reader.take()
                    due = min((n for n in plan if n > last), default=None)
                    if due is None:
                        assert frame is None
                        continue
                    assert frame is not None
                    assert (frame.number, frame.epoch) == (due, plan[due])
                    assert (frame.pixels == (7 * due + plan[due]) % 256).all()
                    last = due
                    del frame


def test_replacing_a_whole_ring_takes_no_longer_than_replacing_a_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted in looks at a slot, since the machine that tests may be busy."""
    looks, see = [0], Ring._see

    def counted(ring: Ring, slot: int) -> None:
        before = len(ring._queue)
        see(ring, slot)
        looks[0] += 1 + max(0, before - len(ring._queue))

    monkeypatch.setattr(Ring, "_see", counted)
    with both_ends(512) as (writer, reader):
        writer.put(200)
        for _ in range(40):
            writer.rewind(reader.taken + 1)
            writer.put(7)
        reader.take()
        assert looks[0] <= 2 * (200 + 7 * 40)


def test_the_writer_knows_when_which_version_of_a_frame_was_taken() -> None:
    with both_ends(8) as (writer, reader):
        writer.put(3)
        reader.take(10.0)
        writer.rewind(2)
        writer.put(1)
        reader.take(11.0)
        reader.take(12.5)
        reader.tick_s = 1 / 50
        assert [writer.ring.taking(n) for n in range(3)] == [(10.0, 0), (11.0, 0), (12.5, 1)]
        assert writer.ring.tick_s == 1 / 50


def test_the_writer_hears_the_newest_bands_and_they_disturb_nothing_beside_them() -> None:
    with both_ends(4) as (writer, reader):
        assert writer.ring.bands == (0.0,) * BANDS
        writer.put(2)
        reader.take(10.0)
        for bands in ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (1.0, 0.0, 1.0, 0.0, 1.0, 0.0)):
            reader.bands = bands
            assert writer.ring.bands == bands
        assert writer.ring.taking(0) == (10.0, 0)
        assert numbers(reader) == [(1, 0)]


def test_no_slot_is_lost_in_ten_thousand_frames_with_rewinds() -> None:
    draw = np.random.default_rng(5)
    shown = 0
    with both_ends(8) as (writer, reader):
        while shown < 10_000:
            writer.put(int(draw.integers(1, 9)))
            if draw.random() < 0.2:
                writer.rewind(max(reader.taken + 1, writer.next - int(draw.integers(0, 6))))
            shown += len(numbers(reader, int(draw.integers(1, 9))))
        while reader.take() is not None:
            pass
        assert len(writer.put(100)) == 8


def test_queued_is_what_is_still_to_be_shown() -> None:
    with both_ends(16) as (writer, reader):
        assert reader.queued == writer.ring.queued == 0
        writer.put(6)
        assert reader.queued == writer.ring.queued == 6
        numbers(reader, 2)
        assert writer.ring.queued == 4
        assert writer.ring.taken == 1


def test_a_closed_ring_leaves_no_memory_behind() -> None:
    ring = Ring.create(SPAWN, 4, 8, 8)
    ring.close()
    with pytest.raises(FileNotFoundError):
        Ring.attach(ring.handle)


@pytest.mark.skipif(not SHARED.is_dir(), reason="only Linux grants memory that is not there")
def test_a_ring_that_does_not_fit_says_so_instead_of_killing_the_engine_later() -> None:
    side = 4096
    count = shutil.disk_usage(SHARED).free // (side * side * 3) + 2
    with pytest.raises(OSError, match=r"shared memory.*are free.*--size") as caught:
        Ring.create(SPAWN, count, side, side)
    assert caught.value.errno == errno.ENOSPC


def test_there_is_room_for_what_is_kept_ready_and_to_replace_it() -> None:
    assert slots(30) > 2 * 0.6 * 30
    assert slots(240) > 0.6 * 240 + 40


def test_two_processes_stream_two_thousand_frames_intact() -> None:
    ring = Ring.create(SPAWN, 24, 16, 16)
    child = SPAWN.Process(target=stream, args=(ring.handle, 2000), daemon=True)
    child.start()
    patience = time.monotonic() + 240
    try:
        for number in range(2000):
            while (frame := ring.take()) is None:
                assert time.monotonic() < patience, f"frame {number} never came"
                time.sleep(0.0005)
            assert (frame.number, frame.version, frame.phase) == (number, number // 7, number / 8)
            assert np.array_equal(frame.pixels, checksummed(number))
            del frame
        child.join(60)
        assert child.exitcode == 0
        assert ring.take() is None
    finally:
        child.kill()
        ring.close()
