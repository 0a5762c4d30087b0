"""The public face: every name, every example in a docstring, what an import costs, and the user's world left alone."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.metadata
import inspect
import os
import pickle
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import betahat as bh

SRC = Path(bh.__file__).parent.parent
HEAVY = ("torch", "pandas", "pyarrow", "numpy", "scipy", "formulaic", "narwhals", "polars", "rich", "safetensors")
ROOMS = sorted(
    name for _, name, _ in pkgutil.walk_packages(bh.__path__, "betahat.") if "lecture" not in name and "lab" not in name
)


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [name for name in bh.__all__ if name != "__version__"])
def test_every_public_name_resolves_and_is_explained(name):
    value = getattr(bh, name)
    assert value is getattr(bh, name)  # loaded once
    assert name in dir(bh)
    text = inspect.getdoc(value)
    assert text
    assert len(text) > 20
    if name not in ("fit", "load", "Squared"):
        return
    for section in ("Examples",) if name == "Squared" else ("Raises",):
        assert section in text


def test_names_in_the_type_checkers_map_are_those_of_the_lazy_one():
    tree = ast.parse(Path(bh.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    shown = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert shown == set(bh.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'fitt'"):
        _ = bh.fitt
    assert not hasattr(bh, "utils")


def test_public_methods_and_attributes_are_explained():
    members = [getattr(bh.Fit, name) for name in dir(bh.Fit) if not name.startswith("_")]
    texts = [inspect.getdoc(m) for m in members if callable(m) or isinstance(m, property)]
    assert len(texts) > 25
    assert all(texts)


@pytest.mark.parametrize(
    "line", ["import betahat", "import betahat; dir(betahat); betahat.__version__", "import betahat.errors"]
)
def test_the_import_is_light(line):
    loaded = python(f"{line}; import sys; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_version():
    assert bh.__version__.count(".") >= 2
    try:
        installed = importlib.metadata.distribution("betahat")
    except importlib.metadata.PackageNotFoundError:
        return  # run from the source tree: there is nothing to compare with
    assert installed.version == bh.__version__


# ── examples ─────────────────────────────────────────────────────────────────────────────────────────────────────


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for room in ROOMS for test in finder.find(importlib.import_module(room), room)]
    return sorted((test for test in found if test.examples), key=lambda test: test.name)


EXAMPLES = examples()


def test_the_main_doors_have_an_example():
    named = {test.name for test in EXAMPLES}
    predict = "betahat.questions.coefficients.Coefficients.predict"
    assert {"betahat.fitting.fit", predict, "betahat.source.Source.of"} <= named
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name.removeprefix("betahat."))
def test_example(example):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    told: list[str] = []
    runner.run(example, out=told.append)
    assert runner.failures == 0, "".join(told)


def test_the_example_of_the_package_runs():
    """The module's own docstring is indented text, not a doctest."""
    lines = [line[4:] for line in (bh.__doc__ or "").splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    scope: dict[str, object] = {}
    exec("\n".join(lines[:2]), scope)
    assert "mpg ~ wt" in str(scope["fit"])


# ── the user's world ─────────────────────────────────────────────────────────────────────────────────────────────

X = np.random.default_rng(7).normal(size=(60, 3))
Y = 1.5 + X @ [1.0, -2.0, 0.5] + np.random.default_rng(8).normal(size=60)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y, w=np.linspace(0.5, 2.0, 60))
FORMULA = "y ~ a + b + c"
EXACT = bh.fit(FORMULA, FRAME)


@pytest.fixture
def world():
    """What must not change: torch's and NumPy's settings and random numbers, Python's warnings."""

    def look():
        return (
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.get_num_interop_threads(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.get_float32_matmul_precision(),
            torch.get_rng_state().tolist(),
            str(np.random.get_state()),
            np.geterr(),
            np.get_printoptions(),
            list(warnings.filters),
            pd.get_option("display.precision"),
        )

    before = look()
    yield
    assert look() == before


@pytest.mark.parametrize("update", ["exact", "descent", "adam"])
def test_the_users_world_is_left_alone(update, world, tmp_path):
    fit = bh.fit("y ~ a + poly(b, 2) + C(k)", FRAME.assign(k=np.arange(60) % 3), update=update)
    str(fit), fit.tidy(), fit.conf_int(), fit.predict(FRAME.assign(k=1))
    fit.save(tmp_path / "m.betahat")
    bh.load(tmp_path / "m.betahat")


def test_a_default_dtype_of_the_users_changes_nothing(tmp_path):
    torch.set_default_dtype(torch.float16)
    try:
        fit = bh.fit(FORMULA, FRAME, update="descent")
        fit.save(tmp_path / "m.betahat")
        assert fit.coef.dtype == bh.load(tmp_path / "m.betahat").coef.dtype == torch.float64
        exact = bh.fit(FORMULA, FRAME)
    finally:
        torch.set_default_dtype(torch.float32)
    assert exact.params.equals(EXACT.params)  # to the last bit
    assert fit.distance < 1e-6  # standard errors: it has arrived


def given_kinds():
    tensors = (torch.tensor(X, requires_grad=True), torch.tensor(Y))
    return {
        "pandas": (FORMULA, FRAME.copy()),
        "polars": (FORMULA, pl.from_pandas(FRAME)),
        "dict": (FORMULA, {name: FRAME[name].to_numpy().copy() for name in FRAME}),
        "numpy": (X.copy(), Y.copy()),
        "torch": tensors,
    }


@pytest.mark.parametrize("kind", given_kinds())
@pytest.mark.parametrize("update", ["exact", "descent"])
def test_the_callers_data_are_unchanged(kind, update):
    first, second = given_kinds()[kind]
    weights = FRAME["w"].to_numpy().copy()
    start = np.zeros(4)
    fit = bh.fit(first, second, weights=weights, update=update, start=start)
    fit.predict(second if isinstance(first, str) else first, interval="prediction")
    untouched_first, untouched_second = given_kinds()[kind]
    assert (start == 0).all()
    assert (weights == FRAME["w"]).all()
    for given_, untouched in ((first, untouched_first), (second, untouched_second)):
        if isinstance(given_, torch.Tensor):
            assert torch.equal(given_, untouched)
            assert given_.grad is None
            assert given_.requires_grad == untouched.requires_grad
        elif isinstance(given_, dict):
            assert all((given_[name] == untouched[name]).all() for name in untouched)
        elif isinstance(given_, np.ndarray):
            assert (given_ == untouched).all()
        elif not isinstance(given_, str):
            assert given_.equals(untouched)


def test_read_only_arrays_will_do():
    locked, response = X.copy(), Y.copy()
    locked.flags.writeable = response.flags.writeable = False
    assert bh.fit(locked, response).params.tolist() == EXACT.params.tolist()  # to the last bit
    np.testing.assert_allclose(bh.fit(X[::-1], Y[::-1]).bse, EXACT.bse, rtol=1e-13)  # summed in another order


def test_an_error_survives_a_pickle():
    """Worker processes send their errors home in one."""
    with pytest.raises(bh.errors.DesignError) as caught:
        bh.fit("y ~ A", FRAME)
    back = pickle.loads(pickle.dumps(caught.value))
    assert type(back) is bh.errors.DesignError
    assert str(back) == str(caught.value)


def test_a_fit_is_frozen():
    with pytest.raises(AttributeError):
        EXACT.rss = 0.0
