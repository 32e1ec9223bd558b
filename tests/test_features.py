"""What is heard: bands and tempo of sounds that the test makes. No device, no thread."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import RATE, Sound, at, chord, click, hat, kick, music, song

from lwlive.routes import BANDS
from lwlive.stage.sources.audio.beat import Beat
from lwlive.stage.sources.audio.features import HOP_S, Features, Heard
from lwlive.tempo import Tempo

LOW, MID, HIGH, LEVEL, ONSET, CENTROID = range(len(BANDS))
FOUR = (LOW, MID, HIGH, LEVEL)


def heard(sound: Sound, rate: int = RATE) -> list[Heard]:
    return Features(rate).heard(sound)


def bands(sound: Sound, rate: int = RATE) -> np.ndarray:
    """[hops, bands]."""
    return rows(heard(sound, rate))


def rows(found: list[Heard]) -> np.ndarray:
    """[hops, bands]."""
    return np.array([one.bands for one in found])


def between(found: np.ndarray, first_s: float, last_s: float) -> np.ndarray:
    return found[round(first_s / HOP_S) : round(last_s / HOP_S)]


def noise(seconds: float, db: float, seed: int = 0) -> Sound:
    """White noise at a level, as a room or a preamplifier makes it."""
    found = np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 10 ** (db / 20)
    return found.astype(np.float32)


def louder(sound: Sound, db: float) -> Sound:
    return sound * np.float32(10 ** (db / 20))


# Bands


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=40))
def test_the_bands_are_the_same_however_the_sound_is_cut(cuts: list[int]) -> None:
    sound = music(0.6, 150)
    whole, features = heard(sound), Features(RATE)
    parts = np.split(sound, np.minimum(np.cumsum(cuts), len(sound)))
    assert [one for part in parts for one in features.heard(part)] == whole


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_any_sound_at_any_rate_gives_numbers_from_0_to_1(rate: int) -> None:
    strange = np.random.default_rng(3).uniform(-30, 30, rate).astype(np.float32)
    strange[::7], strange[5], strange[99], strange[1000] = 0, np.nan, np.inf, -np.inf
    found = bands(np.concatenate([strange, np.zeros(rate, np.float32), strange]), rate)
    assert found.shape == (len(found), len(BANDS))
    assert len(found) == pytest.approx(3 / HOP_S, abs=4)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize(
    ("hz", "band"), [(60, LOW), (150, LOW), (400, MID), (2000, MID), (5000, HIGH), (9000, HIGH)]
)
def test_a_tone_is_heard_in_its_band_and_far_less_in_the_others(hz: float, band: int) -> None:
    t = np.arange(RATE) / RATE
    found = between(bands((0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)), 0.5, 1)
    assert found[:, band].min() > 0.9
    assert found[:, LEVEL].min() > 0.9
    others = [one for one in (LOW, MID, HIGH) if one != band]
    assert found[:, others].max() < 0.4


@pytest.mark.parametrize("db", [0, pytest.param(-20, marks=pytest.mark.slow), -45])
def test_a_loud_club_and_a_quiet_bar_both_use_the_range(db: float) -> None:
    found = between(bands(louder(music(28, 124), db)), 20, 28)
    for band in FOUR:
        assert found[:, band].max() > 0.7
        assert found[:, band].min() < 0.4


def test_after_a_change_of_volume_the_range_is_found_again() -> None:
    tune = music(20, 124)
    found = bands(np.concatenate([tune, louder(tune, -18), louder(tune, -3)]))
    for first in (16, 36, 56):
        assert between(found, first, first + 4)[:, LEVEL].max() > 0.75
    assert between(found, 40.2, 60)[:, LEVEL].min() >= 0


@pytest.mark.parametrize(
    "db", [*(pytest.param(n, marks=pytest.mark.slow) for n in (-80, -60)), -50]
)
def test_silence_is_not_blown_up_before_the_music_or_half_a_minute_and_more_after(
    db: float,
) -> None:
    """The room's own noise stays low in all bands, and is no hit."""
    sound = noise(62, db)
    sound[5 * RATE : 25 * RATE] += louder(music(20, 124), -12)
    found = bands(sound)
    for quiet in (between(found, 1, 5), between(found, 27, 62)):
        assert quiet[:, (LOW, MID, LEVEL)].max() < 0.12
        assert quiet[:, HIGH].max() < 0.3
        assert quiet[:, ONSET].max() == pytest.approx(0, abs=0.01)


def test_the_low_band_pulses_with_the_kick_and_falls_between() -> None:
    found = between(bands(music(20, 120)), 10, 20)[:, LOW]
    beat, on_s, off_s = (round(s / HOP_S) for s in (0.5, 0.08, 0.06))
    beats = range(0, len(found) - beat, beat)
    on = np.array([found[n : n + on_s].max() for n in beats])
    off = np.array([found[n + beat - off_s : n + beat].min() for n in beats])
    assert on.min() > 0.7
    assert off.max() < 0.25


def test_a_band_rises_within_two_hops_and_falls_slowly() -> None:
    sound = np.zeros(4 * RATE, np.float32)
    for n in range(12):
        at(0.3 * n, len(sound), chord(0.15, (100.0,)), sound)
    found = bands(sound)[:, LOW]
    top = int(found.argmax())
    fall = found[top : top + round(0.4 / HOP_S)]
    steps = np.diff(fall[fall.argmax() :])
    assert steps.min() > -0.2  # no cliff
    onset = round(0.3 * 10 / HOP_S)
    assert found[onset + round(0.12 / HOP_S)] > 0.6


@pytest.mark.parametrize("what", [kick(), hat(), click()])
def test_every_hit_is_a_pulse_within_two_hundredths_that_decays(what: Sound) -> None:
    sound = noise(12, -70)
    hits = [1.0 + 0.37 * n for n in range(28)]
    for when in hits:
        at(when, len(sound), 0.5 * what, sound)
    found = bands(sound)[:, ONSET]
    for when in hits[4:]:
        n = round(when / HOP_S)
        assert found[n : n + round(0.02 / HOP_S)].max() > 0.5
        assert found[n + round(0.33 / HOP_S)] < 0.2 * found[n : n + round(0.05 / HOP_S)].max()
    rises = np.flatnonzero(np.diff(found) > 0.2)
    assert len(set((rises - rises[0]) // round(0.2 / HOP_S))) <= len(hits) + 1


def test_a_held_chord_is_one_hit_and_no_more() -> None:
    found = bands(np.concatenate([np.zeros(RATE, np.float32), chord(6)]))[:, ONSET]
    assert between(found, 1, 1.2).max() > 0.5
    assert between(found, 2.5, 6.5).max() < 0.05


def test_the_centroid_tells_dull_from_bright_and_stays_in_silence() -> None:
    dull, bright = chord(2, (110.0,)), noise(2, -20)
    low = bands(np.concatenate([dull, np.zeros(3 * RATE, np.float32)]))[:, CENTROID]
    high = bands(np.concatenate([bright, np.zeros(3 * RATE, np.float32)]))[:, CENTROID]
    assert between(low, 1, 1.8).max() < 0.3 < 0.6 < between(high, 1, 2).min()
    assert np.ptp(between(high, 2.2, 5)) < 0.02


# Tempo


def followed(sound: Sound) -> list[tuple[float, Tempo]]:
    """What is found in a sound that begins at second 100, with when."""
    return tempos(heard(sound))


def tempos(hops: list[Heard], start: float = 100.0) -> list[tuple[float, Tempo]]:
    """What is found, with when, where the sound begins at `start`."""
    hop_s = Features(RATE).hop_s
    beat = Beat(hop_s)
    found = []
    for n, one in enumerate(hops):
        now = start + (n + 1) * hop_s
        if (tempo := beat.heard(one, now)) is not None:
            found.append((now - start, tempo))
    return found


BETWEEN = [pytest.param(bpm, marks=pytest.mark.slow) for bpm in (97.3, 118.5, 140.0, 163.0)]


@pytest.mark.parametrize("bpm", [80.0, 126.0, 180.0, *BETWEEN])
def test_steady_music_has_its_tempo_and_its_beats_after_eight_seconds(bpm: float) -> None:
    first = 0.05 + bpm % 1 / 2
    found = followed(music(13, bpm, first))
    assert found[0][0] <= 8.05
    assert len(found) >= 5
    for _, tempo in found:
        assert tempo.bpm == pytest.approx(bpm, rel=0.01)
        away = (tempo.at - 100 - first) * bpm / 60
        assert abs(away - round(away)) * 60 / bpm < 0.015


def test_a_tempo_that_changes_is_followed() -> None:
    found = followed(np.concatenate([music(12, 120), music(22, 132)]))
    assert found[0][1].bpm == pytest.approx(120, rel=0.01)
    assert found[-1][1].bpm == pytest.approx(132, rel=0.01)


MORE = [("hiphop", 92, 0.25), ("techno", 128, 0.0), ("dnb", 174, 0.0)]
SONGS = [("house", 124, 0.0), *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE)]


@pytest.mark.parametrize(("style", "bpm", "swing"), SONGS)
def test_a_song_keeps_its_tempo_and_its_range_over_a_break(
    style: str, bpm: float, swing: float
) -> None:
    bar_s, before, pause = 240 / bpm, 12, 8
    hops = heard(song(before + pause + 12, bpm, style, swing, range(before, before + pause)))
    for _, tempo in (found := tempos(hops)):
        assert tempo.bpm == pytest.approx(bpm, rel=0.01)
    drop_s = (before + pause) * bar_s
    assert found[0][0] < 8.05
    assert found[-1][0] > drop_s + 8  # and after the break again
    heard_at = rows(hops)
    for first in (before / 2 * bar_s, drop_s):  # the first bars of the drop, too
        bars = between(heard_at, first, first + 4 * bar_s)
        for band in (LOW, HIGH, ONSET):
            assert bars[:, band].max() > 0.6
            assert bars[:, band].min() < 0.3
    for n in (0, 2, 4):  # the kick on the first beat of a bar is a hit
        one = between(heard_at, drop_s + n * bar_s, drop_s + n * bar_s + 0.06)
        assert one[:, ONSET].max() > 0.25
        assert one[:, LOW].max() > 0.5


@pytest.mark.parametrize("style", ["dnb", "hiphop"])
def test_a_cross_beat_of_one_and_a_half_beats_is_not_taken_for_the_beat(style: str) -> None:
    found = followed(song(12, 174, style, seed=174))
    assert found
    for _, tempo in found:
        assert tempo.bpm == pytest.approx(174, rel=0.01)


def at_random(seconds: float, often: float, seed: int) -> Sound:
    """Hits without any beat."""
    rng, out = np.random.default_rng(seed), np.zeros(round(seconds * RATE), np.float32)
    when = 0.0
    while (when := when + rng.exponential(1 / often)) < seconds:
        at(when, len(out), (0.5 * kick() if rng.random() < 0.5 else 0.3 * hat()), out)
    return out


@pytest.mark.parametrize("often", [2, 5, 9])
def test_hits_without_a_beat_have_no_tempo(often: float) -> None:
    assert followed(at_random(20, often, round(often))) == []


def test_noise_a_chord_and_nothing_have_no_tempo() -> None:
    for sound in (noise(15, -20), chord(15), np.zeros(15 * RATE, np.float32)):
        assert followed(sound) == []


def test_after_the_music_no_tempo_is_found_any_more() -> None:
    found = followed(np.concatenate([music(10, 125), noise(20, -70)]))
    assert found
    assert found[-1][0] < 13.5
