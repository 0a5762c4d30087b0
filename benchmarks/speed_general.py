"""Generalized linear models: seconds, ours beside the peers, in one run, in alternation.

    python benchmarks/speed_general.py                   # prints the tables and writes results/speed-general.md
    python benchmarks/speed_general.py --only logistic   # one of them, printed only

As `speed.py`: coefficients must agree before any clock runs, and the median of the turns counts. Peers are asked for
convergence that makes six digits agree, which is what they need for it; statsmodels and betahat also give standard
errors.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import parquet_general
from contest import Contest, Program, timed
from speed import MEMORY, Bar, Outcome, page

HERE = Path(__file__).parent


def drawn(kind: str, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """X (n, k) and responses of a model that it tells something of."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, k))
    eta = X @ rng.uniform(-1, 1, k) / np.sqrt(k) - 0.2
    if kind == "binomial":
        return X, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(np.float64)
    return X, rng.poisson(np.exp(eta)).astype(np.float64) if kind == "poisson" else rng.gamma(2, np.exp(eta) / 2)


def exact(kind: str, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The coefficients (1 + k,), by Newton's method written out."""
    Z = np.column_stack([np.ones(len(X)), X])
    W = np.zeros(Z.shape[1])
    for _ in range(30):
        mu = 1 / (1 + np.exp(-(Z @ W))) if kind == "binomial" else np.exp(Z @ W)
        slope, bent = (1 - y / mu, np.ones(len(y))) if kind == "gamma" else (mu - y, mu)
        bent = mu * (1 - mu) if kind == "binomial" else bent
        step = np.linalg.solve((Z * bent[:, None]).T @ Z, Z.T @ slope)
        W = W - step
        if np.abs(step).max() < 1e-12:
            break
    return W


def ours(kind, X, y):
    import betahat as bh

    loss = bh.loss.Gamma(link="log") if kind == "gamma" else kind
    return timed(lambda: bh.fit(X, y, loss=loss), lambda fit: fit.params)


def ours_small(X, y):
    import betahat as bh

    def work():
        fit = bh.fit(X, y, loss="binomial")
        fit.bse, fit.pvalues  # noqa: B018
        return fit

    return timed(work, lambda fit: fit.params, times=20)


def glum(kind, X, y):
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(family=kind, link="logit" if kind == "binomial" else "log", alpha=0,
                                       gradient_tol=1e-7)  # fmt: skip
    return timed(lambda: model.fit(X, y), lambda m: np.r_[m.intercept_, m.coef_])


def sklearn(solver, kind, X, y, tol=1e-8):
    from sklearn.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor

    if kind == "binomial":
        model = LogisticRegression(C=np.inf, solver=solver, tol=tol if solver == "lbfgs" else 1e-4, max_iter=1000)
    else:
        model = {"poisson": PoissonRegressor, "gamma": GammaRegressor}[kind](
            alpha=0, solver=solver, tol=1e-9, max_iter=1000
        )
    return timed(lambda: model.fit(X, y), lambda m: np.r_[m.intercept_, m.coef_.ravel()])


def statsmodels(kind, X, y, times=1):
    import statsmodels.api as sm

    Z = sm.add_constant(X)
    family = {"binomial": sm.families.Binomial, "poisson": sm.families.Poisson}.get(kind)
    family = sm.families.Gamma(sm.families.links.Log()) if family is None else family()

    def work():
        fit = sm.GLM(y, Z, family=family).fit()
        fit.bse, fit.pvalues  # noqa: B018
        return fit

    return timed(work, lambda fit: fit.params, times)


def dense(kind: str, n: int, k: int, bars: dict[str, float], rounds: int = 5) -> Outcome:
    """One family on arrays."""
    X, y = drawn(kind, n, k)
    title = f"{kind}, {'logit' if kind == 'binomial' else 'log'} link, {n:,} × {k}"
    programs = {"betahat": Program(partial(ours, kind, X, y))}
    contest = Contest(title, "float64 drawn at random, in memory, by rows.", programs)
    contest.enter("glum", "glum", lambda: Program(partial(glum, kind, X, y), answers="coefficients"))
    for solver in ("lbfgs", "newton-cholesky"):
        run = partial(sklearn, solver, kind, X, y)
        contest.enter(f"scikit-learn, {solver}", "scikit-learn", lambda run=run: Program(run, 2, "coefficients"))
    contest.enter("statsmodels GLM", "statsmodels", lambda: Program(partial(statsmodels, kind, X, y), 5))
    return _judged(contest.hold(rounds, exact(kind, X, y)), bars)


def small() -> Outcome:
    """A fit of a hundred rows, and its standard errors and p-values."""
    X, y = drawn("binomial", 100, 3)
    programs = {"betahat": Program(partial(ours_small, X, y))}
    contest = Contest("binomial, logit link, 100 × 3", "with standard errors and p-values; twenty in a row.", programs)
    contest.enter("statsmodels GLM", "statsmodels",
                  lambda: Program(partial(statsmodels, "binomial", X, y, 20)))  # fmt: skip
    return _judged(contest.hold(9, exact("binomial", X, y)), {"statsmodels GLM": 0.5})


def files() -> Outcome:
    """Parquet longer than memory should hold: the bar is a ceiling; `hold` has seen that the coefficients agree."""
    contest = parquet_general.stream(10_000_000)
    memory = contest.memory("betahat")
    agreed = Bar(contest.title, "coefficients as in memory, to 1e-10", "they agree", True)
    return contest, [agreed, Bar(contest.title, f"at most {MEMORY} MB", f"{memory:.0f} MB", memory <= MEMORY)]


def text() -> Outcome:
    """CSV under a formula: rows that are cached on disk must be worth it."""
    return _judged(parquet_general.text(2_000_000), {"betahat, read anew": 1.0})


LEVELS = {"a": 30, "b": 50, "c": 100}


def categories() -> Outcome:
    """Three categories and four columns by formula: what is compared are the four slopes."""
    import pandas as pd

    import betahat as bh

    n, slopes = 500_000, ["x0", "x1", "x2", "x3"]
    X, _ = drawn("poisson", n, len(slopes))
    rng = np.random.default_rng(5)
    codes = {name: rng.integers(0, levels, n) for name, levels in LEVELS.items()}
    eta = X @ [0.3, -0.2, 0.1, 0.0] + sum(0.1 * rng.standard_normal(LEVELS[name])[own] for name, own in codes.items())
    frame = pd.DataFrame(X, columns=slopes).assign(**{name: pd.Categorical(own) for name, own in codes.items()})
    frame["y"] = rng.poisson(np.exp(eta)).astype(float)
    text = "y ~ x0 + x1 + x2 + x3 + a + b + c"
    sure = bh.fit(text, frame, loss="poisson").params[slopes]

    def of_glum():
        from glum import GeneralizedLinearRegressor

        model = GeneralizedLinearRegressor(family="poisson", alpha=0, drop_first=True, gradient_tol=1e-8)
        work = partial(model.fit, frame[[*slopes, *LEVELS]], frame["y"])
        return timed(work, lambda m: np.asarray(m.coef_)[[list(m.feature_names_).index(name) for name in slopes]])

    title = f"poisson, log link, {n:,} rows, 4 columns and categories of {', '.join(map(str, LEVELS.values()))} levels"
    programs = {
        "betahat": Program(lambda: timed(lambda: bh.fit(text, frame, loss="poisson"), lambda f: f.params[slopes]))
    }
    contest = Contest(title, "A pandas DataFrame, by formula; the answers compared are the slopes.", programs)
    contest.enter("glum", "glum", lambda: Program(of_glum, answers="coefficients"))
    return _judged(contest.hold(5, np.asarray(sure)), {})


def sparse() -> Outcome:
    """Mostly zeros: betahat has no sparse columns, and takes them all."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(6)
    n, k = 100_000, 200
    X = rng.standard_normal((n, k)) * (rng.random((n, k)) < 0.02)
    y = (rng.random(n) < 1 / (1 + np.exp(-X @ rng.uniform(-1, 1, k)))).astype(float)
    thin = csr_array(X)
    programs = {"betahat": Program(partial(ours, "binomial", X, y))}
    title = f"binomial, logit link, {n:,} × {k}, 2 % not zero"
    note = "The others are given sparse rows; four digits are asked for, more of which lbfgs does not give here."
    contest = Contest(title, note, programs, rtol=1e-4)
    contest.enter("glum", "glum", lambda: Program(partial(glum, "binomial", thin, y), answers="coefficients"))
    run = partial(sklearn, "lbfgs", "binomial", thin, y, tol=1e-11)
    contest.enter("scikit-learn, lbfgs", "scikit-learn", lambda: Program(run, 1, "coefficients"))
    return _judged(contest.hold(5, exact("binomial", X, y)), {})


def _judged(contest: Contest, bars: dict[str, float]) -> Outcome:
    """The contest, and whether each bar was met: at least so many times as fast as another."""
    found = []
    for who, asked in bars.items():
        names = [name for name in contest.samples if name.startswith(who)]
        if not names:
            continue
        best = min(names, key=contest.seconds)
        ratio = contest.seconds(best) / contest.seconds("betahat")
        found.append(Bar(contest.title, f"≥ {asked:g} × as fast as {best}", f"{ratio:.2f} ×", ratio >= asked))
    return contest, found


MILLION = 1_000_000
CONTESTS = {
    "logistic": partial(dense, "binomial", MILLION, 20, {"glum": 2.5, "scikit-learn": 1.5, "statsmodels": 25}),
    "small": small,
    "poisson": partial(dense, "poisson", MILLION, 20, {"glum": 2}),
    "gamma": partial(dense, "gamma", MILLION, 20, {"glum": 2}),
    "files": files,
    "text": text,
    "wide": partial(dense, "binomial", 200_000, 200, {}, 3),
    "categories": categories,
    "sparse": sparse,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Generalized linear models: betahat beside its peers.")
    parser.add_argument("--only", choices=CONTESTS, action="append", help="one contest, printed and not written")
    asked = parser.parse_args()
    outcomes: list[Outcome] = []
    for name in asked.only or CONTESTS:
        outcomes.append(CONTESTS[name]())
        if not asked.only:  # after each, since the whole takes minutes
            (HERE / "results" / "speed-general.md").write_text(page(outcomes), encoding="utf-8")
    print(page(outcomes))


if __name__ == "__main__":
    main()
