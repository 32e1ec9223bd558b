"""A movie: one MP4 or MOV of constant rate, with its colours told, and with sound where there is
some. A recording and a render are written by the same class.

Used by one thread at a time, which may wait for the encoder and the disk: the recorder's in a show,
the main one in a render. This file knows nothing of queues, clocks, shows, walks or sound files.

A recording is written in fragments, so that a killed process leaves what it has; `made_ordinary`
then makes it a file with its length in front. A render is written beside its name and moved there.
"""

import errno
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lwlive import files
from lwlive.checkpoint import Size
from lwlive.encoders import Encoder, Encoding, RecordError
from lwlive.ring import Pixels

if TYPE_CHECKING:  # PyAV is loaded when a movie is opened, in its thread
    from av import AudioStream

Samples = npt.NDArray[np.float32]  # [2, n], at SOUND_RATE
SOUND_RATE = 48_000
_PRIMING = 1024  # samples of silence that FFmpeg's AAC begins with
_FRAGMENT_US = 200_000  # of a fragment: so much is lost to a kill, beside what waits for its sound

# What an ordinary file's table has for a frame, at most: its size, time, place and whether it is a
# key frame (ISO 14496-12: stsz, stts, stsc, co64, stss); and for the rest of its head.
_BYTES_A_FRAME, _BYTES_OF_HEAD = 48, 2**13


def rate_of(fps: float) -> Fraction:
    """The exact rate: 29.97 is 30000/1001, as broadcast means it (SMPTE ST 12-1)."""
    for whole in (24, 30, 48, 60, 120, 240):
        if abs(fps - whole * 1000 / 1001) < 0.0005:
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def load(encoders: Iterable[Encoder], rate: Fraction, size: Size) -> None:
    """Load what such movies are written with, and find out which encoder takes their pictures.

    That takes a tenth of a second, for most of which no other thread of the process runs.
    """
    with suppress(ImportError, RecordError):  # whoever opens a movie then hears of it
        Encoding(encoders, rate, size)


class Movie:
    """One MP4 file being written, by one thread. Opens immediately; raises PyAV's errors.

    `fragmented` and flushed: a killed process leaves all but the last second playable. Else
    the file is whole when it is closed, with its length in front. There is a key frame every second
    or, `intra`, every frame is one, so that players can jump to any.
    """

    def __init__(
        self,
        path: Path,
        rate: Fraction,
        width: int,
        height: int,
        metadata: Mapping[str, str],
        encoders: Iterable[Encoder],
        fragmented: bool = True,
        intra: bool = False,
        sound: bool = False,
    ) -> None:
        import av

        self.path, self.frames, self._metadata = path, 0, dict(metadata)
        self._heard, self._fragmented = 0, fragmented  # packets of sound
        self._encoding = Encoding(encoders, rate, Size(width, height), intra)
        self.encoder = self._encoding.chosen.name
        flags = "frag_keyframe+empty_moov+default_base_moof" if fragmented else "faststart"
        flush = {"flush_packets": "1", "frag_duration": str(_FRAGMENT_US)} if fragmented else {}
        self._output = av.open(
            _address(path),
            "w",
            format=_format(path),
            container_options={"movflags": f"{flags}+use_metadata_tags", **flush},
        )
        try:
            self._output.metadata.update(metadata)
            self._stream = self._encoding.stream(self._output)
            self._sound: AudioStream | None = None
            if sound:
                self._sound = self._output.add_stream("aac", rate=SOUND_RATE, layout="stereo")
            self._new_block = av.AudioFrame
            self._output.start_encoding()
        except BaseException:
            self._output.close()
            raise

    def write(self, pixels: Pixels, pts: int) -> int:
        """Encode one picture, shown from tick `pts` on. Returns how many frames went to the file.

        The pixels are free again afterwards.
        """
        frame = self._encoding.frame(pixels, pts)
        return self._mux(self._stream.encode(frame))

    def hear(self, samples: Samples, at: int) -> None:
        """Encode sound [2, n] that begins at sample `at`; it may be none.

        A file in fragments cannot say that its sound begins with silence, and all pictures would
        come later by it: there, the first 21 ms of the sound give way to it.
        """
        assert self._sound is not None
        if self._fragmented and at < _PRIMING:
            cut = min(samples.shape[1], _PRIMING - at)
            samples, at = samples[:, cut:], at + cut
        if not samples.shape[1]:
            return
        frame = self._new_block.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, at, Fraction(1, SOUND_RATE)
        self._sing(self._sound.encode(frame))

    def finish(self) -> int:
        """Write what the encoders still hold. Returns how many frames went to the file."""
        count = self._mux(self._stream.encode(None))
        if self._sound is not None:
            self._sing(self._sound.encode(None))
        return count

    def close(self) -> None:
        """Close the file properly."""
        self._output.close()

    def abandon(self) -> None:
        """Close the file after a failure: what is whole in it plays. Raises nothing."""
        with suppress(Exception):  # the failure is the one to tell
            self.close()
        if self._fragmented:
            with suppress(OSError):
                trim(self.path)

    def made_ordinary(self, going: Callable[[], bool]) -> None:
        """Make a closed file in fragments one with its length in front, without encoding it again.

        The new file is written beside the old one and takes its place when it is on the disk: what
        goes wrong, and `going` turning false, leaves the old one as it is. Raises OSError, or
        PyAV's errors; what is no regular file (a device, a pipe) stays what it is.
        """
        path = Path(os.path.realpath(self.path))  # a link still points there
        if path.exists() and not path.is_file():
            return
        size = path.stat().st_size
        if size > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        with files.draft(path) as beside:
            if self._copied(path, beside, going):
                files.settle(beside, path)

    def _copied(self, path: Path, to: Path, going: Callable[[], bool]) -> bool:
        """Copy the file's packets; False where it was not to be finished."""
        import av

        told = sum(len(f"{k}{v}".encode()) + 64 for k, v in self._metadata.items())
        head = _BYTES_OF_HEAD + told + _BYTES_A_FRAME * (self.frames + self._heard)
        options = {"movflags": "use_metadata_tags", "moov_size": str(head)}
        with (
            av.open(_address(path)) as source,
            av.open(_address(to), "w", format=_format(path), container_options=options) as output,
        ):
            output.metadata.update(self._metadata)
            streams = {}
            for one in (*source.streams.video, *source.streams.audio):
                made = streams[one.index] = output.add_stream_from_template(one)
                made.time_base = one.time_base
                made.codec_context.codec_tag = one.codec_context.codec_tag
            for packet in source.demux():
                if packet.dts is not None:  # the last ones only say that there are no more
                    packet.stream = streams[packet.stream.index]
                    output.mux(packet)
                if not going():
                    return False
        return True

    def _sing(self, packets: list["av.Packet"]) -> None:  # type: ignore[name-defined] # noqa: F821
        self._output.mux(packets)
        self._heard += len(packets)

    def _mux(self, packets: list["av.Packet"]) -> int:  # type: ignore[name-defined] # noqa: F821
        self._output.mux(packets)
        self.frames += len(packets)
        return len(packets)


def trim(path: Path) -> None:
    """Cut off what follows the last whole fragment of a file.

    A disk that is full may take half of a fragment. Where that is half of its head, no player opens
    the file any more. Raises OSError. Boxes: ISO 14496-12, 4.2.
    """
    if not path.is_file():
        return
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        at = whole = 0
        while at + 16 <= size:
            file.seek(at)
            length, kind, long = struct.unpack(">I4sQ", file.read(16))
            length = long if length == 1 else length
            if length < 8 or at + length > size:
                break
            at += length
            if kind != b"moof":  # the pictures of that follow it
                whole = at
        if 0 < whole < size:
            file.truncate(whole)


def write_movie(
    path: Path,
    pictures: Iterable[Pixels],
    fps: float,
    encoders: Iterable[Encoder],
    metadata: Mapping[str, str],
    intra: bool = False,
    sound: Iterator[Samples] | None = None,
) -> int:
    """Make a whole movie; returns how many pictures are in it. Raises OSError, RecordError.

    The sound is as long as the pictures: cut, or followed by silence.
    """
    import av

    rate, movie, count = rate_of(fps), None, 0
    blocks = None if sound is None else _Blocks(sound)
    with files.draft(path) as beside:
        try:
            for count, pixels in enumerate(pictures, start=1):
                if movie is None:
                    height, width = pixels.shape[:2]
                    kind = (encoders, False, intra, blocks is not None)
                    movie = Movie(beside, rate, width, height, metadata, *kind)
                movie.write(np.ascontiguousarray(pixels), count - 1)
                if blocks is not None:  # so that both lie side by side
                    movie.hear(*blocks.until(round(count / rate * SOUND_RATE)))
            if movie is None:
                raise RecordError(f"there is no picture for {path}")
            movie.finish()
            movie.close()
        except av.FFmpegError as error:
            raise OSError(error.errno or errno.EIO, error.strerror or str(error)) from error
        finally:
            if movie is not None:
                movie.close()
        files.settle(beside, path)
    return count


def metadata_of(path: Path) -> dict[str, str]:
    """What a movie says of itself. Raises OSError or ValueError for what is none."""
    import av

    try:
        with av.open(_address(path), metadata_errors="replace") as source:
            return dict(source.metadata)
    except av.FFmpegError as error:
        raise OSError(error.errno or errno.EIO, error.strerror, str(path)) from error


class _Blocks:
    """Blocks of sound, given out up to the end of each picture, and silence after the last."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks, self._left, self._done = blocks, np.zeros((2, 0), np.float32), 0

    def until(self, end: int) -> tuple[Samples, int]:
        """The sound from where it was cut before up to sample `end`, and where that was."""
        at, wanted = self._done, end - self._done
        while self._left.shape[1] < wanted and (block := next(self._blocks, None)) is not None:
            self._left = np.concatenate([self._left, block], axis=1)
        silence = np.zeros((2, max(0, wanted - self._left.shape[1])), np.float32)
        whole = np.concatenate([self._left, silence], axis=1)
        part, self._left, self._done = whole[:, :wanted], whole[:, wanted:], end
        return part, at


def _address(path: Path) -> str:
    """For FFmpeg: absolute, or "20:15.mp4" would be the address of a protocol named "20"."""
    return str(path.absolute())


def _format(path: Path) -> str:
    """FFmpeg's name of a file's format."""
    return "mov" if path.suffix.lower() == ".mov" else "mp4"
