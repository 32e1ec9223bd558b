"""Low-rank changes of a weight, from the factors that adapters keep: arithmetic only.

LoRA (Hu 2021) and LoCon, also in Tucker form; LoHa (Hyeon-Woo 2022) and LoKr (Edalati 2022) as
LyCORIS writes them (Yeh 2024); DoRA (Liu 2024). This file knows no networks, names or files.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

Parts = Mapping[str, Tensor]  # what a file keeps for one layer

TUCKER = "ijkl, jr, ip -> prkl"  # core [i, j, k, l], one side [j, r], the other [i, p]


def change(parts: Parts, shape: torch.Size, own: float | None, root: bool = False) -> Tensor:
    """What is added to a weight of this shape, float32.

    own: the alpha that is given elsewhere than in the parts. root: alpha is divided by the root of
    the rank (Kalajdzievski 2023). Raises ValueError where the parts do not make such a weight.
    """
    parts = {name: part.float() for name, part in parts.items()}
    try:
        made, rank = _made(parts)
        made = made.reshape(shape)
    except (RuntimeError, KeyError, IndexError) as error:
        raise ValueError(f"its factors do not make a weight of {tuple(shape)}") from error
    alpha = float(parts["alpha"]) if "alpha" in parts else own
    if rank is None or alpha is None:
        return made
    return made * (alpha / (math.sqrt(rank) if root else rank))


def _made(parts: Parts) -> tuple[Tensor, int | None]:
    """The product of the factors, and its rank where an alpha is divided by one."""
    if "diff" in parts:
        return parts["diff"], None
    if "down" in parts:
        up, down = parts["up"], parts["down"]
        if "mid" in parts:
            sides = down.flatten(1), up.flatten(1).T
            return torch.einsum(TUCKER, parts["mid"], *sides), len(down)
        return up.flatten(1) @ down.flatten(1), len(down)
    if "hada_w1_a" in parts:
        one, other = (_pair(parts, f"hada_w{n}_a", f"hada_w{n}_b", f"hada_t{n}") for n in (1, 2))
        return one * other, len(parts["hada_w1_b"])
    one, rank = _whole(parts, "lokr_w1", "")
    other, second = _whole(parts, "lokr_w2", "lokr_t2")
    if other.dim() == 4:
        one = one[..., None, None]
    return torch.kron(one, other), second or rank


def _whole(parts: Parts, name: str, core: str) -> tuple[Tensor, int | None]:
    """One side of a Kronecker product, which may be a product itself, of a rank."""
    if name in parts:
        return parts[name], None
    return _pair(parts, f"{name}_a", f"{name}_b", core), len(parts[f"{name}_b"])


def _pair(parts: Parts, a: str, b: str, core: str) -> Tensor:
    if core in parts:
        return torch.einsum(TUCKER, parts[core], parts[b], parts[a])
    return parts[a] @ parts[b]


def decomposed(weight: Tensor, added: Tensor, parts: Parts) -> Tensor:
    """The same change where a file keeps the lengths of a weight's rows or columns (DoRA).

    The weight with what is added is given those lengths. Raises ValueError where they do not fit.
    """
    both = weight + added
    if "magnitude" in parts:  # of peft, always of rows, however it is shaped
        lengths, rows = parts["magnitude"].float().flatten(), True
    else:  # of LyCORIS and those after it, of either, which the shape tells
        lengths, rows = parts["dora"].float(), len(parts["dora"]) == len(weight)
        lengths = lengths.flatten()
    if len(lengths) != weight.shape[0 if rows else 1]:
        raise ValueError(f"it keeps {len(lengths)} lengths for a weight of {tuple(weight.shape)}")
    over = [d for d in range(weight.dim()) if d != (0 if rows else 1)]
    found = torch.linalg.vector_norm(both, dim=over, keepdim=True)
    result: Tensor = both * (lengths.view_as(found) / found.clamp_min(1e-12)) - weight
    return result
