"""The penalized likelihood maximized with 90 digits: python exact.py, after make.R.

Nothing of betahat's is used, nor the formula of the modified scores: gradients are differences, of step 1e-30, of
l + ½ log det X'ΩX itself, and their zeros are found by Newton's method from brglm2's coefficients.
"""

import json
from pathlib import Path

from mpmath import exp, log, matrix, mp, mpf, nstr, sqrt

mp.dps = 90
STEP = mpf(10) ** -30
QUANTILE = mpf("3.841458820694125958361375437362596846213")  # of χ² with 1 degree of freedom at 0.95
HERE = Path(__file__).parent


def load(path):
    case = json.loads(path.read_text(encoding="utf-8"))
    columns = [[mpf(v) for v in case["X"][name]] for name in case["names"]]
    return case, list(zip(*columns, strict=True)), [mpf(v) for v in case["y"]], [mpf(v) for v in case["weight"]]


def penalized(case, X, y, m, W):
    """l*, and the information."""
    p = len(W)
    total, information = mpf(0), matrix(p, p)
    for x, share, trials in zip(X, y, m, strict=True):
        eta = sum(a * b for a, b in zip(x, W, strict=True))
        if case["family"] == "binomial":
            mean = 1 / (1 + exp(-eta))
            total += trials * (share * log(mean) + (1 - share) * log(1 - mean))
            omega = trials * mean * (1 - mean)
        else:
            mean = exp(eta)
            total += trials * (share * eta - mean)
            omega = trials * mean
        used = [j for j in range(p) if x[j]]
        for j in used:
            for k in used:
                information[j, k] += omega * x[j] * x[k]
    return total + log(mp.det(information)) / 2, information


def gradient(case, X, y, m, W, j):
    ahead, back = list(W), list(W)
    ahead[j], back[j] = W[j] + STEP, W[j] - STEP
    return (penalized(case, X, y, m, ahead)[0] - penalized(case, X, y, m, back)[0]) / (2 * STEP)


def newton(function, x):
    """The zero of a function of several unknowns, its derivatives by differences."""
    for _ in range(60):
        f = function(x)
        J = matrix(len(x), len(x))
        for k in range(len(x)):
            moved = list(x)
            moved[k] += mpf(10) ** -25
            for i, value in enumerate(function(moved)):
                J[i, k] = (value - f[i]) * mpf(10) ** 25
        step = mp.lu_solve(J, -matrix(f))
        size = max(abs(s) for s in step)
        shorter = min(mpf(1), 1 / size) if size else mpf(1)
        x = [a + shorter * s for a, s in zip(x, step, strict=True)]
        if size < mpf(10) ** -35:
            return x
    raise ArithmeticError("no zero found")


def main():
    for path in sorted(HERE.glob("*.json")):
        case, X, y, m = load(path)
        p = len(case["names"])

        def scores(W, without=None, data=(case, X, y, m), p=p):
            return [gradient(*data, W, j) for j in range(p) if j != without]

        W = newton(scores, [mpf(v) for v in case["coef"]])
        top, information = penalized(case, X, y, m, W)
        inverse = information**-1
        se = [sqrt(inverse[j, j]) for j in range(p)]
        lower, upper, statistic = [], [], []
        for j in range(p):
            for way, ends in ((-1, lower), (1, upper)):

                def end(V, j=j, data=(case, X, y, m), top=top):
                    return [penalized(*data, V)[0] - top + QUANTILE / 2, *scores(V, j)]

                start = [W[k] + way * mpf("1.96") * se[j] * inverse[k, j] / inverse[j, j] for k in range(p)]
                ends.append(newton(end, start)[j])

            def held(V, j=j):
                return scores([*V[:j], mpf(0), *V[j:]], j)

            start = [W[k] - W[j] * inverse[k, j] / inverse[j, j] for k in range(p) if k != j]
            V = newton(held, start)
            statistic.append(2 * (top - penalized(case, X, y, m, [*V[:j], mpf(0), *V[j:]])[0]))
        case["exact"] = {
            "coef": [nstr(v, 25) for v in W],
            "se": [nstr(v, 25) for v in se],
            "penalized": nstr(top, 25),
            "lower": [nstr(v, 25) for v in lower],
            "upper": [nstr(v, 25) for v in upper],
            "statistic": [nstr(v, 25) for v in statistic],
        }
        path.write_text(json.dumps(case, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path.name, case["exact"])


if __name__ == "__main__":
    main()
