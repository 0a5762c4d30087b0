"""Correct digits on NIST's eleven linear sets: ours beside the peers, in one run.

    python benchmarks/digits.py        # prints the table and writes benchmarks/results/digits.md

Each program gets the same float64 columns and is judged by its worst coefficient against the exact rational solution
for those columns: digits are −log10 of the relative error, 0 at least, and 0 for a coefficient that was dropped. R is
run when Rscript is on the path, with columns and response passed as hexadecimal floats, which lose nothing.
"""

import json
import math
import platform
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import sklearn
import statsmodels
import statsmodels.api as sm
from sklearn.linear_model import LinearRegression

import betahat as bh

HERE = Path(__file__).parent
FOLDER = HERE.parent / "tests" / "reference" / "nist_linear"


def design(case):
    x = np.array(case["x"], dtype=np.float64)
    if case["design"]["type"] == "polynomial":
        return np.column_stack([[float(v) ** k for v in case["x"]] for k in range(1, case["design"]["degree"] + 1)])
    return x if x.ndim == 2 else x[:, None]


def digits(ours, exact):
    if len(ours) != len(exact) or not all(math.isfinite(v) for v in ours):
        return 0.0
    worst = 16.0
    for value, true in zip(ours, exact, strict=True):
        error = abs(Fraction(float(value)) - Fraction(true)) / abs(Fraction(true))
        worst = min(worst, 16.0 if error == 0 else -math.log10(error))
    return max(0.0, worst)


def betahat(X, y, intercept):
    return bh.fit(X, y, intercept=intercept).params.tolist()


def numpy_lstsq(X, y, intercept):
    return np.linalg.lstsq(np.column_stack([np.ones(len(y)), X]) if intercept else X, y, rcond=None)[0].tolist()


def statsmodels_ols(X, y, intercept):
    return sm.OLS(y, np.column_stack([np.ones(len(y)), X]) if intercept else X).fit().params.tolist()


def sklearn_linear(X, y, intercept):
    model = LinearRegression(fit_intercept=intercept).fit(X, y)
    return ([model.intercept_] if intercept else []) + model.coef_.tolist()


def r_lm(X, y, intercept):
    def column(values):
        return "c(" + ",".join(float(v).hex() for v in values) + ")"

    terms = ["1" if intercept else "0", *(f"x{j}" for j in range(X.shape[1]))]
    code = [f"x{j} <- {column(X[:, j])}" for j in range(X.shape[1])]
    code += [f"y <- {column(y)}", f"b <- coef(lm(y ~ {' + '.join(terms)}))", 'cat(sprintf("%.17g", b))']
    done = subprocess.run(["Rscript", "-"], input="\n".join(code), capture_output=True, text=True, check=True)
    return [math.nan if v == "NA" else float(v) for v in done.stdout.split()]


def main():
    programs = {"betahat": betahat, "numpy lstsq": numpy_lstsq, "statsmodels OLS": statsmodels_ols}
    programs["scikit-learn"] = sklearn_linear
    versions = [f"betahat {bh.__version__}", f"numpy {np.__version__}", f"statsmodels {statsmodels.__version__}"]
    versions.append(f"scikit-learn {sklearn.__version__}")
    if shutil.which("Rscript"):
        programs["R lm"] = r_lm
        told = subprocess.run(["R", "--version"], capture_output=True, text=True, check=True).stdout
        versions.append(" ".join(told.split()[:3]))
    lines = ["| set | condition | " + " | ".join(programs) + " |", "|:--|--:|" + "--:|" * len(programs)]
    for path in sorted(FOLDER.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        X, y = design(case), np.array(case["y"], dtype=np.float64)
        exact = case["exact_float64_design"]["beta"]
        scores = [f"{digits(run(X, y, case['intercept']), exact):.1f}" for run in programs.values()]
        condition = bh.fit(X, y, intercept=case["intercept"]).condition
        lines.append(f"| {case['name']} | {condition:.1e} | " + " | ".join(scores) + " |")
    note = f"Python {platform.python_version()}, {platform.machine()}; {', '.join(versions)}."
    text = "\n".join([*lines, "", note])
    print(text)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "digits.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
