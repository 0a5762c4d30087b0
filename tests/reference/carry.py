"""Carry: make the slim copies of the R reference cases that the tests read.

    python tests/reference/carry.py PATH_TO_REFERENCE_FOLDER

PATH_TO_REFERENCE_FOLDER is the folder that holds `open/lm_*.json` and `open/data/*.csv` (see README.md here). Every
`lm_*` case is copied to `lm/NAME.json` with the quantities in KEPT only, what comes after the fit to
`after/NAME.json` (AFTER, and the tests of hypotheses and of several responses), every `glm_*` and `nb_*` case to
`glm/NAME.json` without its model matrix (LEFT_OUT), NIST's nonlinear sets (`nist_nonlinear/*.json`) to
`nist_nonlinear/NAME.json`, and the tables that the cases name are copied byte for byte to `data/`. No number is computed or rounded: Python writes the shortest decimal that gives the same
float64 back, and the 25-digit values stay the texts that they are. Running it again changes nothing.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

#: what least squares and classical standard errors need
KEPT = (
    "id", "software", "dataset", "data_csv", "data_nrow", "dataset_source", "note", "columns",
    "formula", "formula_py_hint", "weights", "contrasts", "rows_used_1based", "n", "rank", "df_residual",
    "coef", "se", "t", "p", "sigma", "r_squared", "adj_r_squared", "F", "rss", "loglik", "loglik_df", "AIC", "BIC",
    "vcov", "confint95", "confint99", "predict",
)  # fmt: skip
#: of the values recomputed with 25 digits, and of the count of correct digits of R's beside them
#: what is asked after a fit: other covariances and their tests, influence, analysis of variance, specification tests
AFTER = (
    "id", "assign", "obs_index_1based", "fitted", "residuals", "influence", "vif", "anova_sequential_typeI", "anova_typeII",
    "anova_typeIII", "drop1_F", "extractAIC", "waldtest_vs_intercept_HC1", "coeftest_HC3", "robust", "diagnostics",
)  # fmt: skip
#: of it, what nothing here computes, or what is there under another name
LEFT = {"robust": ("sandwich", "vcovHC_se"), "vcovHC": ("const", "HC4m", "HC5"), "influence": ("dfbeta",),
        "kernHAC": ("Truncated_bw4", "TukeyHanning_bw4")}  # fmt: skip
#: the files that are carried whole
WHOLE = ("hyp_mtcars_nested", "mlm_mtcars")
#: of NIST's nonlinear sets
NONLINEAR = (
    "name", "level", "model_printed", "model_expr", "lhs", "n", "p", "df", "x_names", "x", "y", "start1", "start2",
    "certified",
)  # fmt: skip
#: of generalized linear models, what nothing reads
LEFT_OUT = ("kind", "control", "cov_unscaled", "response", "coef_first_fit", "restarts_to_stationarity", "iterations",
            "warnings", "converged", "stat_name")  # fmt: skip
CHECKED = ("names", "coef", "se", "rss", "sigma", "r_squared", "loglik")


def slim(case: dict[str, Any]) -> dict[str, Any]:
    """A case without what the tests of this issue do not read."""
    check = case["independent_check"]
    return {
        **{key: case[key] for key in KEPT},
        "model_matrix_colnames": case["model_matrix"]["colnames"],
        "independent_check": {
            "note": check["note"],
            "lre": {key: value for key, value in check["lre"].items() if key in (*CHECKED, "F", "AIC", "BIC")},
            "values": {key: check["values"][key] for key in CHECKED},
        },
    }


def after(case: dict[str, Any]) -> dict[str, Any]:
    """What the tests of inference and of diagnostics read, a line to a key."""
    kept = {key: _without(key, case[key]) for key in AFTER if key in case}
    for part in ("robust", "influence"):
        for key, value in kept.pop(part).items():
            kept[f"{part}.{key}"] = _without(key, value)
    values = case["independent_check"]["values"]
    return {**kept, "exact": {key: value for key, value in values.items() if key not in CHECKED}}


def _without(key: str, value: Any) -> Any:
    return {k: v for k, v in value.items() if k not in LEFT[key]} if key in LEFT and isinstance(value, dict) else value


def written(case: dict[str, Any]) -> str:
    """JSON with one key to a line, so that a changed number is a changed line."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in case.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def carry(reference: Path, target: Path = HERE) -> list[str]:
    """Write the slim cases and their tables under `target`; returns the cases' names."""
    found = sorted((reference / "open").glob("lm_*.json"))
    if not found:
        raise SystemExit(f"There is no open/lm_*.json under {reference}.")
    for folder in ("lm", "after", "data"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for path in found:
        whole = json.loads(path.read_text(encoding="utf-8"))
        case = slim(whole)
        (target / "after" / path.name).write_text(written(after(whole)), encoding="utf-8")
        (target / "lm" / path.name).write_text(written(case), encoding="utf-8")
        table = target / case["data_csv"]
        shutil.copyfile(reference / "open" / case["data_csv"], table)
        table.chmod(0o644)
    for name in WHOLE:
        whole = json.loads((reference / "open" / f"{name}.json").read_text(encoding="utf-8"))
        (target / "after" / f"{name}.json").write_text(written(whole), encoding="utf-8")
    nonlinear(reference, target)
    return [path.stem for path in found] + general(reference, target)


def general(reference: Path, target: Path) -> list[str]:
    """Generalized linear models: whole but for the model matrix, of which the names stay; a line to a key."""
    folder = target / "glm"
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted([*(reference / "open").glob("glm_*.json"), *(reference / "open").glob("nb_*.json")])
    for path in found:
        whole = json.loads(path.read_text(encoding="utf-8"))
        matrix = whole.pop("model_matrix")
        case = {key: value for key, value in whole.items() if key not in LEFT_OUT}
        case["model_matrix_colnames"] = matrix["colnames"]
        if "linear_predictor" not in case:  # of the negative binomial one, at the weights with 25 digits
            weights = [float(value) for value in case["independent_check"]["values"]["coef"]]
            rows = ([x * w for x, w in zip(row, weights, strict=True)] for row in matrix["data"])
            case["linear_predictor"] = [math.fsum(row) for row in rows]
        for key in [key for key in ("robust", "influence", "residuals") if key in case]:
            for part, value in case.pop(key).items():
                if part not in ("vcovHC_se", "sandwich", "dfbeta"):
                    case[f"{key}.{part}"] = _without(part, value)
        if len(case.get("y_used", ())) > 1000:  # the rest of a long table is in its CSV
            case = {key: value for key, value in case.items() if key not in ("y_used", "prior_weights", "offset")}
        (folder / path.name).write_text(written(case), encoding="utf-8")
        table = target / case["data_csv"]
        shutil.copyfile(reference / "open" / case["data_csv"], table)
        table.chmod(0o644)
    return [path.stem for path in found]


def nonlinear(reference: Path, target: Path) -> None:
    """NIST's nonlinear sets: data, both starts, certified values, and what 60 digits say of them."""
    folder = target / "nist_nonlinear"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((reference / "nist_nonlinear").glob("[A-Z]*.json")):
        whole = json.loads(path.read_text(encoding="utf-8"))
        precise = whole["mpmath_60digit"]
        case = {key: whole[key] for key in NONLINEAR} | {"exact": {key: precise[key] for key in ("beta", "sd", "rss")}}
        (folder / path.name).write_text(written(case), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    names = carry(Path(sys.argv[1]))
    size = sum(path.stat().st_size for path in HERE.rglob("*.*") if path.suffix in (".json", ".csv"))
    print(f"{len(names)} cases, {size:,} bytes")
