"""What one step of the training learns from: noises, captions, and parts of pictures.

Only a part of every picture is decoded and looked at: it tells as much as the whole, and the
decoder is quicker. This file knows nothing of losses.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import together
import torch
from folder import FACTOR, LATENTS
from latents import Store
from torch import Tensor

EDGE = 20  # latents a side of the part of a picture that is decoded and looked at
AHEAD = 4  # batches that are read while one is learnt
ROUND = 100  # steps after which newly drawn pictures are looked for


@dataclass(frozen=True)
class Batch:
    """What one step learns from."""

    noise: Tensor  # [B, LATENTS, 32, 32]
    tokens: Tensor  # [B, TOKENS]
    corners: Tensor  # of each picture's part, down and right, in latents, [B, 2]
    drawn: Tensor  # the parts, uint8 [B, 3, EDGE * FACTOR, EDGE * FACTOR]


def batch(data: Store, seed: int, step: int, count: int) -> Batch:
    """What one step learns from in this process: the same for the same seed and step.

    Pictures that tell more are taken more often, as much as they weigh. The noise has the channels
    that a picture was drawn from, and others that tell nothing.
    """
    rng = np.random.default_rng((seed, step, together.number()))
    chance = data.weight.double().numpy()
    rows = rng.choice(len(chance), count, p=chance / chance.sum())
    telling = torch.from_numpy(rng.integers(0, data.tokens.shape[1], count))
    told = data.noise[torch.from_numpy(rows)].float()
    cells = told.shape[-1]
    rest = rng.standard_normal((count, LATENTS - told.shape[1], cells, cells), np.float32)
    # beyond the edge and back, so that the picture's own edges are seen as often as its middle
    corners = np.clip(rng.integers(-3, cells - EDGE + 4, (count, 2)), 0, cells - EDGE)
    drawn = torch.stack(
        [
            data.picture(row)[(slice(None), *pixels(corner))]
            for row, corner in zip(rows.tolist(), corners.tolist(), strict=True)
        ]
    )
    tokens = data.tokens[torch.from_numpy(rows), telling].long()
    noise = torch.cat((told, torch.from_numpy(rest)), 1)
    return Batch(noise, tokens, torch.from_numpy(corners), drawn)


def pixels(corner: list[int]) -> list[slice]:
    """The rows and columns of a part's pixels, by its corner in latents."""
    return [slice(place * FACTOR, (place + EDGE) * FACTOR) for place in corner]


def crops(latents: Tensor, corners: Tensor) -> Tensor:
    """The latents of every picture's part, [B, C, EDGE, EDGE], by their corners [B, 2]."""
    reach = torch.arange(EDGE, device=latents.device)
    rows, columns = (place[:, None] + reach for place in corners.T)
    count, channels, _, wide = latents.shape
    tall = latents.gather(2, rows[:, None, :, None].expand(count, channels, EDGE, wide))
    return tall.gather(3, columns[:, None, None, :].expand(count, channels, EDGE, EDGE))


def seen(corners: Tensor, cells: int) -> Tensor:
    """Which pixels of parts count, [B, 1, h, w], 1 or 0: not those where the decoder sees too few.

    Those are beside an edge of the part that is no edge of the picture.
    """
    place = torch.arange(EDGE, device=corners.device).repeat_interleave(FACTOR)
    rows, columns = (
        ((place > 0) | (corner[:, None] == 0))
        & ((place < EDGE - 1) | (corner[:, None] + EDGE == cells))
        for corner in corners.T
    )
    mask: Tensor = (rows[:, None, :, None] & columns[:, None, None, :]).float()
    return mask


def read(drawn: Callable[[], Store], steps: range, pairs: int) -> Iterator[tuple[int, Batch]]:
    """So many steps with their batches, some of which are read ahead in threads of their own.

    Pictures drawn since are taken up when they have been read; nothing waits for them.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(AHEAD) as pool:
        coming: deque[Future[Batch]] = deque()
        data, fresh = drawn(), None
        for ahead in range(len(steps) + AHEAD):
            if ahead < len(steps):
                if fresh is not None and fresh.done():
                    data, fresh = fresh.result(), None
                elif fresh is None and ahead % ROUND == ROUND - 1:
                    fresh = reader.submit(drawn)
                coming.append(pool.submit(batch, data, 2, steps[ahead], pairs))
            if ahead >= AHEAD:
                yield steps[ahead - AHEAD], coming.popleft().result()
