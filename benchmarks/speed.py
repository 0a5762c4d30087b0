"""Seconds and memory: ours beside the peers, in one run, in alternation.

    python benchmarks/speed.py                   # prints the tables and writes benchmarks/results/speed.md
    python benchmarks/speed.py --only small      # one of them, printed only
    python benchmarks/speed.py --large           # with 40 million rows of Parquet, too

Every program runs once before any clock does: its coefficients must agree with the others', and what it loads and
warms up is not counted. Then the programs take turns, slow ones not in every round, and the median counts. Each uses as
many threads as it likes. What a peer needs beforehand (a column of ones, a frame, a file for R) is made outside its
time. Peers that are not installed are left out, and the table says so.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import parquet
from contest import Contest, Program, Sample, timed

HERE = Path(__file__).parent
PACKAGES = ("betahat", "torch", "numpy", "scipy", "pyarrow", "glum", "scikit-learn", "statsmodels", "pyfixest")
MEMORY = 600  # MB that the whole process may take


@dataclass(frozen=True)
class Bar:
    """What was asked of a piece of work, and what was measured."""

    work: str
    asked: str
    measured: str
    met: bool


Outcome = tuple[Contest, list[Bar]]

# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────────


def drawn(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """X (n, k), its columns neither centered nor of one scale, and y (n,)."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, k))
    X *= rng.uniform(0.5, 5, k)
    X += rng.uniform(-3, 3, k)
    return X, X @ rng.uniform(0.5, 1.5, k) + 2 + rng.standard_normal(n)


def ours(X, y, **options):
    import betahat as bh

    fit = bh.fit(X, y, **options)
    return fit.params, fit.bse


def first(result):
    return result[0]


def read_out(fit):
    return fit.params, fit.bse


def with_intercept(model):
    return np.concatenate([[model.intercept_], model.coef_])


def cross_products(Z):
    """Z'Z, its upper triangle; nothing is copied, whichever way Z lies in memory."""
    from scipy.linalg.blas import dsyrk

    return dsyrk(1.0, Z.T, trans=0) if Z.flags.c_contiguous else dsyrk(1.0, Z, trans=1)


def solved(M, n: int, mean):
    """The coefficients, intercept first, that the cross-products M (q, q) of n rows of [X y] stand for."""
    C = np.triu(M) + np.triu(M, 1).T - n * np.outer(mean, mean)  # (q, q)
    slopes = np.linalg.solve(C[:-1, :-1], C[:-1, -1])
    return np.concatenate([[mean[-1] - mean[:-1] @ slopes], slopes])


def in_r(path: Path, n: int, k: int, code: str) -> Sample:
    """Seconds of a line of R, measured by R, which has read X with a column of ones, and y, from raw floats."""
    script = f"""
        Z <- readBin("{path.as_posix()}", "double", {n * (k + 1)})
        dim(Z) <- c({n}, {k + 1})
        y <- Z[, {k + 1}]
        X <- cbind(1, Z[, 1:{k}])
        d <- data.frame(y, Z[, 1:{k}])
        seconds <- system.time({code})[["elapsed"]]
        cat(sprintf("%.17g", c(seconds, coef(f))))"""
    done = subprocess.run(["Rscript", "-"], input=script, capture_output=True, text=True, check=True)
    seconds, *coef = (float(value) for value in done.stdout.split())
    return Sample(seconds, np.array(coef))


def beside_syrk(n: int, k: int):
    """The contest of betahat and BLAS; the exact coefficients, and the data."""
    X, y = drawn(n, k)
    Z = np.column_stack([X, y])
    mean = Z.mean(0)
    XF, ZF = np.asfortranarray(X), np.asfortranarray(Z)
    read = partial(solved, n=n, mean=mean)
    programs = {
        "betahat": Program(lambda: timed(lambda: ours(X, y), first)),
        "one dsyrk": Program(lambda: timed(lambda: cross_products(Z), read), answers="cross-products"),
        "betahat, by columns": Program(lambda: timed(lambda: ours(XF, y), first)),
        "one dsyrk, by columns": Program(lambda: timed(lambda: cross_products(ZF), read), answers="cross-products"),
    }
    note = "float64, with an intercept; X lies row by row unless said otherwise. dsyrk is given [X y] as one array."
    return Contest(f"{n:,} × {k} in memory", note, programs), solved(Z.T @ Z, n, mean), X, y


def syrk_bars(contest: Contest, most: float) -> list[Bar]:
    bars = []
    for layout in ("", ", by columns"):
        ratio = contest.ratio(f"betahat{layout}", f"one dsyrk{layout}")
        asked = f"at most {most} × one dsyrk"
        bars.append(Bar(contest.title + layout, asked, f"{ratio:.2f} ×", ratio <= most))
    return bars


def glum_program(X, y, every: int) -> Program:
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(family="normal", alpha=0)
    return Program(lambda: timed(lambda: model.fit(X, y), with_intercept), every, "coefficients")


def long() -> Outcome:
    """2,000,000 × 20: the bar is one dsyrk over [X y]; the peers for comparison."""
    contest, exact, X, y = beside_syrk(2_000_000, 20)
    n, k = X.shape
    few = 5
    ones = np.column_stack([np.ones(n), X])

    def sklearn() -> Program:
        from sklearn.linear_model import LinearRegression

        model = LinearRegression()
        return Program(lambda: timed(lambda: model.fit(X, y), with_intercept), few, "coefficients")

    def statsmodels() -> Program:
        from statsmodels.api import OLS

        return Program(lambda: timed(lambda: read_out(OLS(y, ones).fit()), first), few)

    def pyfixest() -> Program:
        import pandas as pd
        from pyfixest import feols

        names = [f"x{j}" for j in range(k)]
        frame, text = pd.DataFrame(X, columns=names).assign(y=y), "y ~ " + " + ".join(names)

        def work():
            fit = feols(text, frame, vcov="iid")
            return fit.coef(), fit.se()

        return Program(lambda: timed(work, first), few)

    lstsq = partial(np.linalg.lstsq, ones, y, rcond=None)
    contest.programs["numpy lstsq"] = Program(lambda: timed(lstsq, first), few, "coefficients")
    contest.enter("glum", "glum", lambda: glum_program(X, y, few))
    contest.enter("scikit-learn LinearRegression", "scikit-learn", sklearn)
    contest.enter("statsmodels OLS", "statsmodels", statsmodels)
    contest.enter("pyfixest feols", "pyfixest", pyfixest)
    with tempfile.TemporaryDirectory() as folder:
        if shutil.which("Rscript"):
            path = Path(folder) / "columns.raw"
            np.ascontiguousarray(np.column_stack([X, y]).T).tofile(path)  # column after column, as R has them
            bare, whole = "f <- .lm.fit(X, y)", "{f <- lm(y ~ ., d); s <- summary(f)}"
            contest.programs["R .lm.fit"] = Program(partial(in_r, path, n, k, bare), few, "coefficients")
            contest.programs["R lm, summary"] = Program(partial(in_r, path, n, k, whole), few)
        else:
            contest.left_out.append("R")
        contest.hold(15, exact)
    return contest, syrk_bars(contest, 1.2)


def wide() -> Outcome:
    """200,000 × 256: the bar is one dsyrk over [X y]."""
    contest, exact, X, y = beside_syrk(200_000, 256)
    contest.enter("glum", "glum", lambda: glum_program(X, y, 2))
    contest.hold(5, exact)
    return contest, syrk_bars(contest, 1.3)


def descent() -> Outcome:
    """A hundred epochs on a million rows: the bar is the plain loop in torch."""
    import torch

    epochs, lr = 100, 0.02
    X, y = drawn(1_000_000, 2)
    A, b = torch.from_numpy(np.column_stack([np.ones(len(y)), X])), torch.from_numpy(y)

    def backward():
        W = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        losses = []
        for _ in range(epochs):
            loss = ((A @ W - b) ** 2).mean()
            loss.backward()
            losses.append(loss.item())
            with torch.no_grad():
                W -= lr * W.grad
            W.grad = None
        return W.detach(), losses

    def by_hand():
        W = torch.zeros(3, dtype=torch.float64)
        losses = []
        for _ in range(epochs):
            residual = A @ W - b  # (n,)
            losses.append(float(residual @ residual) / len(b))
            W = W - lr * 2 / len(b) * (A.T @ residual)
        return W, losses

    def trained():
        return ours(X, y, update="descent", lr=lr, epochs=epochs)

    kept = "weights and loss of every epoch"
    loop, hand = "torch loop, backward", "torch loop, gradient by hand"
    programs = {
        "betahat": Program(lambda: timed(trained, first), answers=f"{kept}, gradients, standard errors"),
        loop: Program(lambda: timed(backward, first), 3, kept),
        hand: Program(lambda: timed(by_hand, first), 3, kept),
    }
    note = f"{epochs} epochs of full-batch descent on the mean of squares, with an intercept, float64, rate {lr}."
    contest = Contest(f"{epochs} epochs of descent, {len(y):,} × 2", note, programs, rtol=1e-9)
    contest.hold(9, by_hand()[0].numpy())
    bars = []
    for rival in (loop, hand):
        faster = contest.ratio(rival, "betahat")
        bars.append(Bar(contest.title, f"100 × as fast as a {rival}", f"{faster:.0f} × as fast", faster >= 100))
    return contest, bars


def small() -> Outcome:
    """A hundred rows: the bar is statsmodels, which does less."""
    import betahat as bh

    times, answers = 40, "coefficients, standard errors, p-values"
    X, y = drawn(100, 2)
    ones = np.column_stack([np.ones(len(y)), X])

    def read(fit):
        return fit.params, fit.bse, fit.pvalues

    def statsmodels() -> Program:
        from statsmodels.api import OLS

        return Program(lambda: timed(lambda: read(OLS(y, ones).fit()), first, times), 1, answers)

    programs = {"betahat": Program(lambda: timed(lambda: read(bh.fit(X, y)), first, times), 1, answers)}
    contest = Contest("100 × 2 in memory", f"A turn is {times} fits in a row; the time is that of one.", programs)
    contest.enter("statsmodels OLS", "statsmodels", statsmodels)
    contest.hold(25, np.linalg.lstsq(ones, y, rcond=None)[0])
    return contest, peer_bar(contest, "statsmodels OLS", "at most the time of statsmodels' OLS", 1.0)


def peer_bar(contest: Contest, peer: str, asked: str, most: float) -> list[Bar]:
    ratio = contest.ratio("betahat", peer)
    return [] if ratio is None else [Bar(contest.title, asked, f"{ratio:.2f} ×", ratio <= most)]


def robust() -> Outcome:
    """2,000,000 × 20 under robust covariances: the bars are multiples of the classical fit, and whole fits count."""
    import betahat as bh

    X, y = drawn(2_000_000, 20)
    n, k = X.shape
    clusters = np.random.default_rng(6).integers(0, 100_000, n)
    kinds: dict[str, tuple[float, dict]] = {"HC1": (3, {}), "HC3": (3, {}), "CR1": (4, {"cluster": clusters})}

    def under(kind, how):
        fit = bh.fit(X, y).with_vcov(kind, **how)
        return fit.params, fit.bse

    programs = {"betahat": Program(lambda: timed(lambda: ours(X, y), first))}
    for kind, (_, how) in kinds.items():
        work = partial(under, kind, how)
        programs[f"betahat, {kind}"] = Program(partial(timed, work, first))
    note = "A fit and its standard errors; the first program's are classical. CR1 has 100,000 clusters in no order."
    contest = Contest(f"Robust covariances, {n:,} × {k} in memory", note, programs)
    ones = np.column_stack([np.ones(n), X])

    def statsmodels(cov_type, **kwds) -> Program:
        from statsmodels.api import OLS

        fit = partial(OLS(y, ones).fit, cov_type=cov_type, **kwds)
        return Program(lambda: timed(lambda: read_out(fit()), first), 5)

    def pyfixest(vcov) -> Program:
        import pandas as pd
        from pyfixest import feols

        names = [f"x{j}" for j in range(k)]
        frame = pd.DataFrame(X, columns=names).assign(y=y, g=clusters)
        text = "y ~ " + " + ".join(names)

        def work():
            fit = feols(text, frame, vcov=vcov)
            return fit.coef(), fit.se()

        return Program(lambda: timed(work, first), 5)

    contest.enter("statsmodels OLS, HC1", "statsmodels", partial(statsmodels, "HC1"))
    contest.enter("statsmodels OLS, HC3", "statsmodels", partial(statsmodels, "HC3"))
    groups = {"cov_kwds": {"groups": clusters}}
    contest.enter("statsmodels OLS, cluster", "statsmodels", partial(statsmodels, "cluster", **groups))
    contest.enter("pyfixest feols, HC1", "pyfixest", partial(pyfixest, "HC1"))
    contest.enter("pyfixest feols, CRV1", "pyfixest", partial(pyfixest, {"CRV1": "g"}))
    contest.hold(9, bh.fit(X, y).params.to_numpy())
    bars = []
    for kind, (most, _) in kinds.items():
        ratio = contest.ratio(f"betahat, {kind}", "betahat")
        bars.append(Bar(f"{contest.title}, {kind}", f"at most {most} × classical", f"{ratio:.2f} ×", ratio <= most))
    return contest, bars


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def flights():
    """The 336,776 flights of the example where its extra is installed, else a table of the same shape."""
    import pandas as pd

    sys.path.append(str(HERE.parent / "examples"))
    try:
        import flights as example

        example.write()
        return pd.read_parquet(example.FLIGHTS), "flights that left New York City in 2013, some rows incomplete"
    except (ImportError, SystemExit):
        rng, n = np.random.default_rng(13), 336_776
        frame = pd.DataFrame({"dep_delay": rng.exponential(30, n) - 15, "distance": rng.integers(80, 5000, n)})
        frame["carrier"] = rng.choice([f"carrier {i}" for i in range(16)], n)
        late = frame["dep_delay"] - frame["distance"] / 400 + 18 * rng.standard_normal(n)
        frame["arr_delay"] = late.where(rng.random(n) > 0.03)
        return frame, "drawn at random in the shape of the flights of the extra 'examples', which is not installed"


def formula() -> Outcome:
    """A formula with a category on a frame: the bar is a fifth of statsmodels."""
    text = "arr_delay ~ dep_delay + distance + C(carrier)"
    frame, what = flights()
    exact = ours(text, frame)[0]

    def statsmodels() -> Program:
        from statsmodels.formula.api import ols

        # It puts categories first: its coefficients are compared by name.
        return Program(lambda: timed(lambda: read_out(ols(text, frame).fit()), lambda r: r[0][exact.index]), 2)

    def pyfixest() -> Program:
        from pyfixest import feols

        def work():
            fit = feols(text, frame, vcov="iid")
            return fit.coef(), fit.se()

        return Program(lambda: timed(work, first), 2)

    programs = {"betahat": Program(lambda: timed(lambda: ours(text, frame), first))}
    contest = Contest(f"A formula on a pandas frame, {len(frame):,} rows", f"`{text}`; {what}.", programs)
    contest.enter("statsmodels formula", "statsmodels", statsmodels)
    contest.enter("pyfixest feols", "pyfixest", pyfixest)
    contest.hold(11, exact.to_numpy())
    return contest, peer_bar(contest, "statsmodels formula", "at most a fifth of statsmodels' time", 0.2)


def files(rows: int, rounds: int) -> Outcome:
    """Parquet: the bars are pyarrow's quickest way to decode it, and a ceiling of memory."""
    contest = parquet.stream(rows, rounds)
    quickest = min(parquet.DECODERS, key=contest.seconds)
    ratio, memory = contest.ratio("betahat", quickest), contest.memory("betahat")
    asked = f"at most 1.3 × pyarrow's quickest way, here {quickest}"
    return contest, [
        Bar(contest.title, asked, f"{ratio:.2f} ×", ratio <= 1.3),
        Bar(contest.title, f"at most {MEMORY} MB", f"{memory:.0f} MB", memory <= MEMORY),
    ]


CONTESTS: dict[str, Callable[[], Outcome]] = {
    "long": long,
    "wide": wide,
    "robust": robust,
    "descent": descent,
    "small": small,
    "formula": formula,
    "files": partial(files, 10_000_000, 5),
}


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────


def machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    info, model = Path("/proc/cpuinfo"), platform.processor()
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        model = next((value.strip() for key, _, value in lines if key.strip() == "model name"), model)
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    if shutil.which("Rscript"):
        told = subprocess.run(["R", "--version"], capture_output=True, text=True, check=True).stdout
        found.append(" ".join(told.split()[:3]))
    return f"{cores} cores, {model or platform.machine()}; {', '.join(found)}."


def page(outcomes: list[Outcome]) -> str:
    lines = ["| work | asked | measured | met |", "|:--|:--|--:|:--|"]
    for bar in (bar for _, bars in outcomes for bar in bars):
        lines.append(f"| {bar.work} | {bar.asked} | {bar.measured} | {'yes' if bar.met else '**no**'} |")
    tables = [line for contest, _ in outcomes for line in contest.table()]
    return "\n".join([*lines, "", *tables, machine(), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds and memory: betahat beside its peers.")
    parser.add_argument("--only", choices=CONTESTS, help="one contest, printed and not written")
    parser.add_argument("--large", action="store_true", help="with 40 million rows of Parquet, too")
    asked = parser.parse_args()
    chosen = [CONTESTS[asked.only]] if asked.only else list(CONTESTS.values())
    if asked.large:
        chosen.append(partial(files, 40_000_000, 3))
    text = page([contest() for contest in chosen])
    print(text)
    if not asked.only:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "speed.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
