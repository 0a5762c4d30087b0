"""The pictures of docs/plots.md, drawn anew: python docs/pictures.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import betahat as bh

HERE = Path(__file__).parent
TO = HERE / "pictures"


def save(figure: Figure, name: str) -> None:
    """Write one picture, in few colors: a picture of lines and circles loses nothing."""
    from PIL import Image

    figure.savefig(TO / f"{name}.png", dpi=72)
    with Image.open(TO / f"{name}.png") as image:
        small = image.convert("RGB").quantize(96, dither=Image.Dither.NONE)
    small.save(TO / f"{name}.png", optimize=True)


def main() -> None:
    """Draw all of them."""
    TO.mkdir(exist_ok=True)
    cars = pd.read_csv(HERE.parent / "tests" / "reference" / "data" / "mtcars.csv", index_col="model")
    fit = bh.fit("mpg ~ wt + hp + C(cyl)", cars)
    save(fit.plot()[0].figure, "four")
    save(fit.plot("influence").figure, "influence")
    save(fit.plot("coefficients", vcov="HC3").figure, "coefficients")
    save(fit.plot("added-variable", term=["wt", "hp"])[0].figure, "added-variable")
    save(fit.plot("partial-residual")[0].figure, "partial-residual")
    save(bh.fit("mpg ~ poly(hp, 2)", cars).plot("line").figure, "line")

    slow = bh.fit("mpg ~ scale(wt) + scale(hp)", cars, update="descent", epochs=40)
    both = Figure(figsize=(10, 4), layout="constrained")
    left, right = both.subplots(1, 2)
    slow.plot("loss", ax=left)
    slow.plot("weights", ax=right)
    save(both, "learning")

    warp = pd.read_csv(HERE.parent / "tests" / "reference" / "data" / "warpbreaks.csv")
    breaks = bh.fit("breaks ~ wool + tension", warp, loss="poisson")
    yes = bh.fit("am ~ wt", cars, loss="binomial")
    whole = Figure(figsize=(12.6, 7.6), layout="constrained")
    places = whole.subplots(2, 3).ravel()
    for on, (model, kind) in zip(
        places,
        [(breaks, "residuals"), (breaks, "half-normal"), (breaks, "rootogram"), (yes, "roc"), (yes, "binned"),
         (yes, "line")], strict=True,
    ):  # fmt: skip
        model.plot(kind, ax=on)
    save(whole, "general")

    rng = np.random.default_rng(1)
    x = rng.normal(size=1_000_000)
    many = pd.DataFrame({"x": x, "y": 1 + x + x**2 / 5 + (1 + np.abs(x) / 3) * rng.standard_t(5, 1_000_000)})
    save(bh.fit("y ~ x", many).plot()[0].figure, "many")


if __name__ == "__main__":
    main()
