"""Muon for matrices, AdamW for the rest: fewer steps to the same loss than AdamW alone.

Muon (Jordan et al. 2024) steps along the nearest orthogonal matrix to the momentum, so
that every direction of a layer learns at one rate. A convolution counts as the matrix from
its receptive field to its outputs. In float32, as processors without bfloat16 units need.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

EVERY = 4  # steps for which a whitening serves; the momentum turns more slowly than that
ROUNDS = 5  # of the iteration; singular values end between 0.7 and 1.2
A, B, C = 3.4445, -4.775, 2.0315  # its coefficients, from the same source


def whitening(matrices: Tensor) -> Tensor:
    """The squares [K, m, m] whose products with matrices [K, m, n], m <= n, are about orthogonal.

    By a Newton-Schulz iteration, done on the small square of a matrix, as every round is a
    polynomial in it.
    """
    size = matrices.norm(dim=(1, 2), keepdim=True) + 1e-7
    square = matrices @ matrices.mT / size.square()
    one = torch.eye(square.shape[-1], device=square.device)
    factor: Tensor = one / size
    for _ in range(ROUNDS):
        turn = A * one + (B * square + C * square @ square)
        factor, square = turn @ factor, turn @ square @ turn
    return factor


class Muon(Optimizer):
    """For parameters of two or more dimensions; the first counts the outputs."""

    def __init__(self, params: list[nn.Parameter], decay: float) -> None:
        super().__init__(params, {"lr": 0.0, "decay": decay, "momentum": 0.95})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step down the gradients; a closure, which other optimisers may want, is refused."""
        if closure is not None:
            raise ValueError("Muon takes its gradients as they are, without a closure.")
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(weight.flatten(1).shape, []).append(weight)
            for weights in alike.values():
                self.turn(weights, group)

    def turn(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """One step of matrices of one shape, together: many small ones keep no GPU busy."""
        states = [self.state[weight] for weight in weights]
        for weight, state in zip(weights, states, strict=True):
            state.setdefault("mean", torch.zeros_like(weight))
            state["age"] = state.get("age", -1) + 1
        gradients = torch.stack([w.grad.flatten(1) for w in weights if w.grad is not None])
        means = [state["mean"] for state in states]
        mean = torch.stack([one.flatten(1) for one in means])
        mean.lerp_(gradients, 1 - group["momentum"])
        torch._foreach_copy_(
            means, [new.view_as(old) for new, old in zip(mean, means, strict=True)]
        )
        ahead = gradients.lerp_(mean, group["momentum"])
        size = 0.2 * max(ahead.shape[1:]) ** 0.5  # as large as a step of AdamW
        tall = ahead.shape[1] > ahead.shape[2]
        wide = ahead.mT if tall else ahead
        if any(state["age"] % EVERY == 0 for state in states):
            for state, square in zip(states, whitening(wide), strict=True):
                state["whitening"] = square
        step = torch.stack([state["whitening"] for state in states]) @ wide
        # whitened by what an older gradient was, a new one's directions could be blown up
        longest = wide.shape[1] ** 0.5
        step *= (longest / step.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)).clamp(max=1.0)
        step = step.mT if tall else step
        torch._foreach_mul_(weights, 1 - group["lr"] * group["decay"])
        steps = [new.reshape(w.shape) for new, w in zip(step, weights, strict=True)]
        torch._foreach_add_(weights, steps, alpha=-group["lr"] * size)


def optimisers(model: nn.Module, decay: float) -> dict[str, Optimizer]:
    """The two optimisers of a model, by name; set the learning rate before every step."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for weight in model.parameters():
        broad = weight.ndim > 1 and min(len(weight), weight[0].numel()) >= 16
        (matrices if broad and id(weight) not in tables else rest).append(weight)
    return {"muon": Muon(matrices, decay), "adamw": AdamW(rest, betas=(0.9, 0.98), weight_decay=0)}


def advance(tools: dict[str, Optimizer], rate: float) -> None:
    """One step of each at a learning rate, and the gradients cleared."""
    for tool in tools.values():
        for group in tool.param_groups:
            group["lr"] = rate
        tool.step()
        tool.zero_grad(set_to_none=True)
