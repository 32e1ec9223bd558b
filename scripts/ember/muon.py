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


def whitening(matrix: Tensor) -> Tensor:
    """The square [m, m] whose product with a matrix [m, n], m <= n, is about orthogonal.

    By a Newton-Schulz iteration, done on the small square of the matrix, as every round is a
    polynomial in it.
    """
    size = matrix.norm() + 1e-7
    square = matrix @ matrix.T / size.square()
    one = torch.eye(len(matrix), device=matrix.device)
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
            for weight in group["params"]:
                self.turn(weight, group)

    def turn(self, weight: Tensor, group: dict[str, Any]) -> None:
        """One step of one matrix."""
        state, gradient = self.state[weight], weight.grad
        if gradient is None:
            return
        if not state:
            state["mean"] = torch.zeros_like(weight)
        mean = state["mean"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(mean, group["momentum"]).flatten(1)
        size = 0.2 * max(ahead.shape) ** 0.5  # as large as a step of AdamW
        wide = ahead.T if len(ahead) > ahead.shape[1] else ahead
        state["age"] = state.get("age", -1) + 1
        if state["age"] % EVERY == 0:
            state["whitening"] = whitening(wide)
        step = state["whitening"] @ wide
        # whitened by what an older gradient was, a new one's directions could be blown up
        step = step * (len(wide) ** 0.5 / step.norm().clamp(min=1e-12)).clamp(max=1.0)
        step = step.T if wide is not ahead else step
        weight.mul_(1 - group["lr"] * group["decay"])
        weight.add_(step.reshape(weight.shape), alpha=-group["lr"] * size)


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
