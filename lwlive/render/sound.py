"""Sound files: whatever FFmpeg decodes, as blocks of samples at one rate, in little memory.

Decoded as a player does it: where a packet is damaged there is silence for as long as it would have
lasted, rate and channels may change on the way, and bytes that are no sound are passed over. What
was left out is said once, with how much. This file knows nothing of drums or movies.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from lwlive.render.settings import RenderError, regular

log = logging.getLogger("lwlive")

Numbers = npt.NDArray[np.float32]

DEAF = 1000  # reads in a row that give nothing before the rest of a file counts as no sound
SEVERAL = 2.5  # times the usual size: a damaged packet holds the remains of several
LONGEST_S = 3600.0  # of the silence in one place
_FLOATS = {"flt": np.float32, "fltp": np.float32, "dbl": np.float64, "dblp": np.float64}


@dataclass
class Skipped:
    """What of a file was not played as it stands."""

    size: int = 0  # bytes that cannot be decoded
    seconds: float = 0.0  # of silence in their place
    samples: int = 0  # that are NaN or infinite
    lost: bool = False  # whether a part was passed over whose size is not known

    def __str__(self) -> str:
        parts = []
        if self.size:
            parts.append(
                f"{self.size} damaged bytes were skipped, with {self.seconds:.2f} s of silence in "
                "their place"
            )
        if self.lost:
            parts.append("a part that holds no sound was skipped")
        if self.samples:
            parts.append(f"{self.samples} samples that are NaN or infinite are silent")
        return "; ".join(parts)


@dataclass
class Usual:
    """How large packets are, to tell how many were lost where one holds the remains of several."""

    count: int = 0
    size: int = 0

    def lasted(self, packet: Any) -> float:
        """Seconds that a damaged packet would have lasted."""
        if not self.count or not packet.duration or not packet.time_base:
            return 0.0
        share = packet.size * self.count / max(1, self.size)
        many = round(share) if share > SEVERAL else 1
        return max(0.0, float(packet.duration * packet.time_base)) * many


def blocks(path: Path, rate: int, channels: int, quiet: bool = False) -> Iterator[Numbers]:
    """A file's sound [channels, n], 1 or 2 of them, block by block. Raises RenderError.

    quiet: what was left out has been said before.
    """
    regular(path)
    skipped, any_sound = Skipped(), False
    try:
        with av.open(str(path.absolute()), metadata_errors="ignore") as source:
            stream = source.streams.best("audio")
            if stream is None:
                raise RenderError(f"{path} has no sound")
            for block in _resampled(_frames(source, stream, skipped), rate, channels, skipped):
                any_sound = any_sound or block.shape[1] > 0
                yield block
    except RenderError:
        raise
    except Exception as error:  # demuxers meet hostile files with errors of many kinds
        why = getattr(error, "strerror", None) or error
        raise RenderError(f"{path} cannot be read as sound: {why}") from None
    if not any_sound:
        raise RenderError(f"{path} has no sound")
    if str(skipped) and not quiet:
        log.warning(f"{path}: {skipped}")


def _frames(source: Any, stream: Any, skipped: Skipped) -> Iterator[Any]:
    """Decoded frames, and in place of damaged packets that stand before others their seconds."""
    silent, deaf, usual = 0.0, 0, Usual()
    while deaf < DEAF:
        try:
            for packet in source.demux(stream):
                deaf = 0
                try:
                    found = packet.decode()
                except (av.FFmpegError, ValueError):
                    skipped.size += packet.size
                    silent += usual.lasted(packet)
                    continue
                if found and silent:
                    length = min(silent, LONGEST_S)
                    skipped.seconds, silent = skipped.seconds + length, 0.0
                    yield length
                if found:
                    usual.count, usual.size = usual.count + 1, usual.size + packet.size
                yield from found
        except av.FFmpegError:  # the file cannot be read on from here; what follows may be sound
            skipped.lost = True
            deaf += 1
        else:
            return


def _resampled(
    frames: Iterator[Any], rate: int, channels: int, skipped: Skipped
) -> Iterator[Numbers]:
    """Blocks at one rate, through a resampler for each kind of frames."""
    resampler, kind = None, None
    for frame in frames:
        if isinstance(frame, float):
            if resampler is not None:
                yield from _mixed(resampler.resample(None), channels)
                resampler = kind = None
            for seconds in np.diff(np.arange(0, frame, 1.0), append=frame):
                yield np.zeros((channels, round(float(seconds) * rate)), np.float32)
            continue
        now = (frame.format.name, frame.layout.name, frame.layout.nb_channels, frame.sample_rate)
        if now != kind:
            if resampler is not None:
                yield from _mixed(resampler.resample(None), channels)
            resampler, kind = _resampler(frame, rate, channels), now
        assert resampler is not None
        yield from _mixed(resampler.resample(_finite(frame, skipped)), channels)
    if resampler is not None:
        yield from _mixed(resampler.resample(None), channels)


def _resampler(frame: Any, rate: int, channels: int) -> av.AudioResampler:
    """One that mixes the channels as players do, or keeps them where nothing says what they are."""
    alone = frame.layout.nb_channels == 1  # mixed by nobody, and so not turned down
    wanted = frame.layout if alone else "mono" if channels == 1 else "stereo"
    for layout in (wanted, frame.layout):
        try:
            resampler = av.AudioResampler("fltp", layout, rate)
            trial = av.AudioFrame(frame.format.name, frame.layout, 1)
            for plane in trial.planes:
                plane.update(bytes(plane.buffer_size))
            trial.sample_rate, trial.pts = frame.sample_rate, None
            resampler.resample(trial)
            return av.AudioResampler("fltp", layout, rate)
        except (av.FFmpegError, ValueError):
            continue
    raise RenderError(f"its channels ({frame.layout.name}) cannot be mixed")


def _finite(frame: Any, skipped: Skipped) -> Any:
    """The frame, numbered again, with what is no sound silent and what is too loud cut."""
    frame.pts = None  # gaps in broken files would stop the resampler
    if frame.format.name not in _FLOATS:
        return frame
    samples = frame.to_ndarray()
    if np.abs(samples).max(initial=0) <= 1:  # NaN is not
        return frame
    bad = ~np.isfinite(samples)
    skipped.samples += int(bad.sum())
    good = np.clip(np.where(bad, 0, samples), -1, 1)
    clean = av.AudioFrame.from_ndarray(good, frame.format.name, frame.layout)
    clean.sample_rate, clean.pts = frame.sample_rate, None
    return clean


def _mixed(frames: list[Any], channels: int) -> Iterator[Numbers]:
    for frame in frames:
        block = frame.to_ndarray().astype(np.float32, copy=False)
        if block.shape[0] != channels:
            block = np.repeat(block.mean(axis=0, keepdims=True), channels, axis=0)
        yield block
