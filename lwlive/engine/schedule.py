"""Schedules: a diffusers scheduler, read once and turned into a table of numbers.

Without thresholding, every sampler that diffusers ships is linear: the next latents are a sum of
latents, model outputs and injected noise seen so far, each times a number. So the scheduler is
run once on symbols (unit vectors in place of pictures) and the numbers are read off what comes
out. The table serves every scheduler alike, folds into compiled code, starts at any step, and
needs no diffusers once it is written down. This file knows nothing of models, walks or files.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lwlive.checkpoint import ModelError, scheduler_name, why
from lwlive.spelling import did_you_mean

MOST_STEPS = 8  # of a show
RESCALED = 0.7  # where steps begin at pure noise, as Lin et al. (2024) found best

Terms = tuple[tuple[int, float], ...]  # (index of a step, factor)


@dataclass(frozen=True)
class Step:
    """One denoising step: where the model is asked, and how the next latents are summed."""

    timestep: float
    input_scale: float  # the model sees latents times this
    latents: Terms  # of x[i], the latents before step i
    outputs: Terms  # of m[i], the model's output at step i
    noises: Terms  # of n[i], the noise injected at step i, which may ask the model twice


@dataclass(frozen=True)
class Schedule:
    """The way from noise to clean latents; `steps[0]` is number `begin` of the whole way.

    Some schedulers ask the model twice a step, or once more at the start: each time counts here.
    """

    noise_scale: float  # initial latents are unit noise times this
    begin: int
    steps: tuple[Step, ...]
    rescale: float = 0.0  # share of guided outputs that keeps the spread of unguided ones

    @property
    def total(self) -> int:
        """Steps of the whole way from noise, of which this schedule runs the last ones."""
        return self.begin + len(self.steps)

    @property
    def numbers(self) -> Iterator[float]:
        """All of its numbers."""
        yield self.noise_scale
        for step in self.steps:
            yield from (step.timestep, step.input_scale)
            for terms in (step.latents, step.outputs, step.noises):
                yield from (factor for _, factor in terms)


class ScheduleError(ModelError):
    """The scheduler cannot be turned into a table; the message says why."""


class _NoiseSymbol(TorchFunctionMode):
    """While active, drawing normal noise gives the symbol of the present step's noise."""

    def __init__(self) -> None:
        super().__init__()
        self.symbol: Tensor | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in (torch.randn, torch.randn_like) and self.symbol is not None:
            return self.symbol.clone()
        return func(*args, **(kwargs or {}))


def named(name: str, like: Any, spaced: bool = False) -> Any:
    """The diffusers scheduler of this name, with what `like` tells of the checkpoint's training.

    `lms`, `euler-ancestral` or `LMSDiscreteScheduler` are names. `spaced`: its steps are spaced for
    a few of them, the first from noise alone. Raises ScheduleError.
    """
    import diffusers

    found = {n: n for n in dir(diffusers) if n.endswith("Scheduler") and not n.startswith("Flax")}
    found = {scheduler_name(n): n for n in found}
    plain = scheduler_name(name)
    if plain not in found:
        hint = did_you_mean(plain, found)
        raise ScheduleError(
            f"there is no scheduler {name!r} in diffusers{hint}; there are {', '.join(found)}"
        )
    options: dict[str, Any] = {"clip_sample": False, "thresholding": False}
    if spaced:
        options["timestep_spacing"] = "trailing"
    kind = getattr(diffusers, found[plain])
    if kind is diffusers.PNDMScheduler:
        options["skip_prk_steps"] = True  # as Stable Diffusion has it
    try:
        takes = inspect.signature(kind.__init__).parameters
        made = kind.from_config(like.config, **{k: v for k, v in options.items() if k in takes})
    except (ImportError, ValueError, TypeError, NotImplementedError) as error:
        raise ScheduleError(f"the scheduler {name} cannot be used here: {why(error)}") from None
    if not hasattr(made, "alphas_cumprod"):
        raise ScheduleError(f"the scheduler {name} is for models of another kind than this one")
    return made


def levels(scheduler: Any, steps: int) -> list[tuple[float, float]]:
    """How much picture and how much noise latents hold before each of `steps` steps, and after.

    Raises ScheduleError for schedulers that do not tell.
    """
    if not hasattr(scheduler, "add_noise"):
        raise ScheduleError(f"{type(scheduler).__name__} cannot take pictures; ddim can")
    scheduler = type(scheduler).from_config(scheduler.config)
    scheduler.set_timesteps(steps)
    signal, noise = torch.tensor([1.0, 0.0]).view(2, 1), torch.tensor([0.0, 1.0]).view(2, 1)
    rows = [
        scheduler.add_noise(signal.T[None], noise.T[None], t[None]).flatten().tolist()
        for t in scheduler.timesteps
    ]
    return [*((float(s), float(n)) for s, n in rows), (1.0, 0.0)]


def read(scheduler: Any, steps: int, begin: int = 0, eta: float = 0.0) -> Schedule:
    """The table of a diffusers scheduler at `steps` steps, without the first `begin` of them.

    `eta`: share of fresh noise in DDIM's steps (Song 2020), for schedulers that have it.
    Raises ScheduleError for schedulers that clip or threshold, since those are not linear, and for
    those that give NaN for so many steps.
    """
    name = type(scheduler).__name__
    for key in ("thresholding", "clip_sample"):
        if scheduler.config.get(key, False):
            raise ScheduleError(
                f"{name} with {key} on cannot be walked; turn {key} off in scheduler_config.json"
            )
    if eta and "eta" not in inspect.signature(scheduler.step).parameters:
        raise ScheduleError(f"{name} has no eta; ddim has")
    many = "1 step" if steps == 1 else f"{steps} steps"
    try:
        found = _read(scheduler, steps, begin, {"eta": eta} if eta else {})
    except Exception as error:  # whatever a scheduler makes of a configuration
        raise ScheduleError(f"the scheduler {name} cannot take {many}: {why(error)}") from error
    if not all(map(math.isfinite, found.numbers)):
        raise ScheduleError(
            f"the scheduler {name} gives NaN for {many} with this model: choose another number "
            "of steps, or another one with --scheduler"
        )
    return found


def _read(scheduler: Any, steps: int, begin: int, options: dict[str, float]) -> Schedule:
    """The table; no eta leaves each scheduler its own: TCD's is not 0."""
    scheduler = type(scheduler).from_config(scheduler.config)  # fresh: no history
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps
    n = len(times)
    first = _first(scheduler, steps, begin)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    rows: list[Step] = []
    with _NoiseSymbol() as noise, torch.no_grad():
        for i in range(first, n):
            noise.symbol = _unit(3 * n, 2 * n + i // scheduler.order)
            x, output = _unit(3 * n, i), _unit(3 * n, n + i)
            scale = float(scheduler.scale_model_input(torch.ones(1, 1, 1, 1), times[i]))
            if first:
                options = options | _remembering(scheduler, i - first)
            out = scheduler.step(output, times[i], x, return_dict=False, **options)[0]
            row = out.flatten().double().tolist()
            rows.append(
                Step(
                    float(times[i]),
                    scale,
                    _terms(row[:n]),
                    _terms(row[n : 2 * n]),
                    _terms(row[2 * n :]),
                )
            )
    rescale = RESCALED if scheduler.config.get("rescale_betas_zero_snr", False) else 0.0
    return Schedule(float(scheduler.init_noise_sigma), first, tuple(rows), rescale)


def _first(scheduler: Any, steps: int, begin: int) -> int:
    """Which time the model is asked first, where the first `begin` steps are left out.

    Of two times at one level of noise it is the second: by then a step is done.
    """
    asked = len(scheduler.timesteps)
    if not begin or asked == steps:
        return begin
    return begin * int(scheduler.order) if scheduler.order > 1 else begin + asked - steps


def _remembering(scheduler: Any, done: int) -> dict[str, int]:
    """Lets a scheduler that began in the middle use no outputs of steps before that.

    done: how many of its steps are. LMS counts steps from the start of the way, not those that it
    remembers; PNDM takes its second step for the first one again.
    """
    import diffusers

    if isinstance(scheduler, diffusers.PNDMScheduler) and done == 1:
        scheduler.counter = 2
    counts = isinstance(scheduler, diffusers.LMSDiscreteScheduler)
    return {"order": min(done + 1, 4)} if counts else {}


def _unit(size: int, at: int) -> Tensor:
    vector = torch.zeros(size, 1, 1, 1)
    vector[at] = 1
    return vector


def _terms(row: list[float]) -> Terms:
    return tuple((i, value) for i, value in enumerate(row) if value != 0.0)
