"""The work: frames that are missing are made, batch by batch, and then the movie."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from lwlive.encoders import unhurried
from lwlive.movie import SOUND_RATE, write_movie
from lwlive.render.cluster import made_by_many
from lwlive.render.frames import Frames, SpoiltError, check_room, stored_budget
from lwlive.render.settings import Settings, told
from lwlive.render.studio import Studio, batches

log = logging.getLogger("lwlive")

BYTES_A_PIXEL = 0.35  # of a JPEG frame, more or less
BYTES_A_PIXEL_PNG = 2.0


def made_here(settings: Settings, missing: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The missing frames' files, made in this process."""
    studio, wanted = Studio(settings), set(missing)
    for numbers in batches(missing, settings.batch):
        yield from (file for file in studio.files(numbers) if file[0] in wanted)


def run(frames: Frames) -> None:
    """Make what is missing, and the movie. Raises RenderError, ModelError, OSError."""
    settings, render = frames.settings, frames.settings.render
    only_movie = render.output == "movie"
    if not (only_movie and frames.movie_is_made()):
        _make_missing(frames)
        if render.output == "frames":
            log.info(f"{settings.frames} frames in {frames.folder}")
            return
    if frames.movie_is_made():
        log.info(f"{settings.frames} frames are in {frames.movie} already")
    else:
        _make_movie(frames)
    if only_movie and frames.folder.exists():
        frames.remove()


def _make_missing(frames: Frames) -> None:
    settings, render = frames.settings, frames.settings.render
    missing = frames.missing()
    width, height = settings.size
    each = width * height * (BYTES_A_PIXEL if render.format == "jpg" else BYTES_A_PIXEL_PNG)
    check_room(frames.folder, len(missing), round(each))
    if missing:
        rounds = _round(settings)
        first = [n for n in missing if n < rounds]
        if first:
            _write(frames, _made(settings, first), rounds, len(first))
        for n in missing:
            if n >= rounds:
                frames.write(n, frames.path(n % rounds).read_bytes())


def _make_movie(frames: Frames) -> None:
    settings, render = frames.settings, frames.settings.render
    about = {"title": settings.params["prompt"], "comment": told(settings)}
    again: set[int] = set()
    while True:
        sound = None
        if render.audio is not None:
            from lwlive.render.sound import blocks

            sound = blocks(render.audio, SOUND_RATE, 2, quiet=True)
        try:
            encoders = unhurried(render.crf)
            count = write_movie(
                frames.movie,
                frames.pictures(),
                render.fps,
                encoders,
                about,
                render.all_intra,
                sound,
            )
        except SpoiltError as error:
            if error.number in again:
                raise
            again.add(error.number)
            frames.path(error.number).unlink()
            _make_missing(frames)
        else:
            log.info(f"{count} frames in {frames.movie}")
            return


def budgeted(settings: Settings, folder: Path) -> Settings:
    """The settings with a time budget as pictures to sample: measured once, then kept with them."""
    render = settings.render
    if render.budget_seconds is None or render.budget is not None:
        return settings
    kept = None if render.overwrite else stored_budget(folder)
    if kept is None:
        studio = Studio(settings)
        numbers = list(range(settings.batch))
        studio.frames(numbers)
        start = time.perf_counter()
        studio.frames(numbers)
        each = (time.perf_counter() - start) / settings.batch
        ways = sum(1 for joint in settings.joints[:-1] if joint < settings.frames)
        kept = max(2, int(render.budget_seconds / each / ways))
        log.info(f"a budget of {kept} pictures from keyframe to keyframe")
    return settings.model_copy(update={"render": render.model_copy(update={"budget": kept})})


def _round(settings: Settings) -> int:
    """The first frame that equals an earlier one: where a loop is closed, or past the end."""
    again = settings.render.journal is None and not settings.render.audio
    looped = settings.looped and again and not settings.routes
    return (
        min(settings.frames, settings.joints[settings.params["loop"]])
        if looped
        else (settings.frames)
    )


def _made(settings: Settings, missing: Sequence[int]) -> Iterable[tuple[int, bytes]]:
    makers = made_here if settings.render.ray is None else made_by_many
    return makers(settings, missing)


def _write(frames: Frames, files: Iterable[tuple[int, bytes]], total: int, count: int) -> None:
    with tqdm(total=total, initial=total - count, unit="frame", dynamic_ncols=True) as bar:
        for number, data in files:
            frames.write(number, data)
            bar.update()
