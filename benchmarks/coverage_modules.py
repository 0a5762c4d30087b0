"""Coverage of modules: how often an interval of 95 % from bh.infer holds the truth, for two curves.

    python benchmarks/coverage_modules.py            # 10,000 samples of each, in about half a minute

Samples of n = 500 rows are drawn with a fixed seed, errors normal with equal variances, or with a standard deviation in
proportion to the curve. All samples are fitted at once, by the formulas with derivatives by hand; the first of them are
held against bh.train and bh.infer, interval by interval. The simulation's own error is √(0.95 · 0.05 / samples).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import torch
from scipy import stats
from torch import Tensor, nn

import betahat as bh

N, SAMPLES, BLOCK, CHECKED, SEED = 500, 10_000, 500, 20, 43052
KINDS = {"fisher": float(stats.t.ppf(0.975, N - 2)), "sandwich": float(stats.norm.ppf(0.975))}


class Decay(nn.Module):
    """a exp(−k x)."""

    truth = (3.0, 0.8)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.k = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in self.truth)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1) → (n,)."""
        return self.a * torch.exp(-self.k * x[:, 0])


class MichaelisMenten(nn.Module):
    """V x / (K + x)."""

    truth = (2.0, 0.7)

    def __init__(self) -> None:
        super().__init__()
        self.V, self.K = (nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in self.truth)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1) → (n,)."""
        return self.V * x[:, 0] / (self.K + x[:, 0])


def decay(b: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The curve, its first and its second derivatives, by hand."""
    a, e = b[:, :1], torch.exp(-b[:, 1:] * x)
    across = -x * e
    return a * e, torch.stack([e, a * across], -1), _symmetric(torch.zeros_like(e), across, a * x**2 * e)


def michaelis_menten(b: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The curve, its first and its second derivatives, by hand."""
    V, below = b[:, :1], b[:, 1:] + x
    across = -x / below**2
    second = _symmetric(torch.zeros_like(below), across, 2 * V * x / below**3)
    return V * x / below, torch.stack([x / below, V * across], -1), second


def _symmetric(one: Tensor, across: Tensor, two: Tensor) -> Tensor:
    return torch.stack([torch.stack([one, across], -1), torch.stack([across, two], -1)], -2)


CURVES: dict[type[nn.Module], Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    Decay: decay,
    MichaelisMenten: michaelis_menten,
}  # numbers (s, 2) and x (n,) → (s, n), (s, n, 2), (s, n, 2, 2)


def fitted(curve: type[nn.Module], x: Tensor, y: Tensor) -> Tensor:
    """Least squares for all samples y (s, n) at once, by Gauss and Newton's steps: numbers (s, 2)."""
    b = torch.tensor([curve.truth], dtype=torch.float64).repeat(len(y), 1)
    for _ in range(15):
        yhat, J, _ = CURVES[curve](b, x)
        r = (y - yhat)[..., None]
        b = b + torch.linalg.solve(J.mT @ J, J.mT @ r)[..., 0]
    return b


def errors(curve: type[nn.Module], x: Tensor, y: Tensor, b: Tensor) -> dict[str, Tensor]:
    """Standard errors (s, 2) by the formulas."""
    yhat, J, second = CURVES[curve](b, x)
    r = yhat - y
    F = J.mT @ J
    A = torch.linalg.inv(F + torch.einsum("sn,snij->sij", r, second))
    B = (J * r.square()[..., None]).mT @ J
    fisher = torch.linalg.inv(F) * (r.square().sum(1) / (N - 2))[:, None, None]
    return {"fisher": fisher.diagonal(dim1=1, dim2=2).sqrt(), "sandwich": (A @ B @ A).diagonal(dim1=1, dim2=2).sqrt()}


def held(curve: type[nn.Module], unequal: bool, samples: int) -> dict[str, list[float]]:
    """For each kind, the share of samples whose interval holds each number's truth."""
    generator = torch.Generator().manual_seed(SEED)
    x = torch.linspace(0.05, 5, N, dtype=torch.float64)
    truth = torch.tensor([curve.truth], dtype=torch.float64)
    mean = CURVES[curve](truth, x)[0]
    spread = 0.3 * mean if unequal else torch.full_like(mean, 0.3)
    counts = {kind: torch.zeros(2) for kind in KINDS}
    for start in range(0, samples, BLOCK):
        y = mean + spread * torch.randn(BLOCK, N, dtype=torch.float64, generator=generator)
        found = fitted(curve, x, y)
        error = errors(curve, x, y, found)
        if start == 0:
            same(curve, x, y[:CHECKED], found, error)
        for kind, factor in KINDS.items():
            counts[kind] += ((found - truth).abs() <= factor * error[kind]).sum(0)
    return {kind: (count / samples).tolist() for kind, count in counts.items()}


def same(curve: type[nn.Module], x: Tensor, y: Tensor, found: Tensor, error: dict[str, Tensor]) -> None:
    """Make sure that bh.train and bh.infer answer the same."""
    loss = nn.MSELoss()
    for i, sample in enumerate(y):
        net = curve()
        bh.train(net, x[:, None], sample, loss=loss, optimizer="levenberg-marquardt", epochs=50)
        for kind, factor in KINDS.items():
            fit = bh.infer(net, x[:, None], sample, loss=loss, kind=kind)
            bounds = torch.tensor(fit.conf_int().to_numpy())
            half = factor * error[kind][i]
            assert torch.allclose(bounds, torch.stack([found[i] - half, found[i] + half], 1), rtol=1e-6)


def main(samples: int = SAMPLES) -> None:
    """Print the table."""
    error = 100 * math.sqrt(0.95 * 0.05 / samples)
    print(f"{samples:,} samples of {N} rows; the simulation's standard error is {error:.2f} percentage points.\n")
    print("| curve | errors | kind | first number | second number |\n|:--|:--|:--|--:|--:|")
    for curve in CURVES:
        for unequal in (False, True):
            for kind, shares in held(curve, unequal, samples).items():
                cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
                what = "unequal variances" if unequal else "equal variances"
                print(f"| {curve.__name__} | {what} | {kind} | {cells} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES)
