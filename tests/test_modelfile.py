"""Model files: what comes back is what was saved, to the last bit; and nothing else than a model ever comes back.

A damaged or foreign file gives a ModelFileError; no file is ever executed; a save that fails leaves no trace.
"""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_tensors

import betahat as bh
from betahat import keeping, modelfile
from betahat.errors import ModelFileError, OptionError
from test_errors import letter, refused, write_csv

SECRET = 8_675_309.25  # stands in the training rows only
N = 48
RNG = np.random.default_rng(11)
FRAME = pd.DataFrame(
    {
        "x": RNG.uniform(1, 9, N),
        "z": RNG.normal(size=N),
        "t": RNG.random(N),
        "k": np.arange(N) % 3 + 10,
        "flag": np.arange(N) % 2 == 0,
        "city": np.array(["서울", "부산", "대구 (광역시)"])[np.arange(N) % 3],
        "size": pd.Categorical(np.array(["s", "m", "l"])[RNG.integers(0, 3, N)], ["s", "m", "l"], ordered=True),
        "secret": np.where(np.arange(N) == 17, SECRET, 1.0 + np.arange(N)),
        "w": RNG.uniform(0.5, 2, N),
    }
).assign(y=lambda d: d["x"] + d["z"] + (d["city"] == "서울") + RNG.normal(size=N))

FORMULAS = [
    "y ~ x",
    "y ~ 1",
    "y ~ 0 + x + z",
    "log(x) ~ sqrt(t) + I(z**2) + exp(z)",
    "y ~ poly(x, 3)",
    "y ~ poly(x, degree=2, raw=True)",
    "y ~ bs(x, df=5)",
    "y ~ bs(x, knots=[3.0, 6.0], degree=2)",
    "y ~ cr(x, df=4)",
    "y ~ cc(t, df=4)",
    "y ~ scale(x) + center(z) + standardize(t)",
    "y ~ C(k)",
    'y ~ C(city, Treatment("부산"))',
    "y ~ C(city, Sum) + C(k, Helmert)",
    "y ~ C(size, Poly)",
    "y ~ size",
    "y ~ flag + city * x",
    "y ~ 0 + city + flag:z",
    "y ~ C(k, levels=[12, 11, 10])",
    "y ~ poly(x, 2):city + x^2",
    "y ~ x + offset(2 * log(x)) + I(2 * x)",  # with a dropped term
    "flag ~ z",
    "y ~ poly(x, 47)",  # as many coefficients as rows: unknown numbers come back, too
]


def equal(ours: bh.Fit, theirs: bh.Fit) -> None:
    """Bit for bit the same in all that a fit says."""
    assert torch.equal(ours.coef, theirs.coef)
    assert torch.equal(ours.unscaled, theirs.unscaled)
    assert ours.terms == theirs.terms
    for name in ("formula", "response", "dropped", "remarks", "tally", *modelfile._ENTRIES):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert a == b or (a != a and b != b), name
    for name in ("params", "bse", "tvalues", "pvalues"):
        pd.testing.assert_series_equal(getattr(ours, name), getattr(theirs, name), check_exact=True)
    assert str(ours) == str(theirs)
    assert len(ours.trace) == len(theirs.trace)
    for a, b in zip(ours.trace, theirs.trace, strict=True):
        assert (a.epoch, a.rows, a.loss) == (b.epoch, b.rows, b.loss)
        assert torch.equal(a.after, b.after)
        assert torch.equal(a.gradient, b.gradient)


def saved(fit: bh.Fit, folder: Path) -> Path:
    fit.save(folder / "m.betahat")
    return folder / "m.betahat"


# ── there and back ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("formula", FORMULAS)
def test_formula_models_come_back_bit_for_bit(formula, tmp_path):
    fit = bh.fit(formula, FRAME)
    back = bh.load(saved(fit, tmp_path))
    equal(back, fit)
    new = FRAME.iloc[[5, 0, 40, 17]]
    ours, theirs = back.predict(new, interval="prediction"), fit.predict(new, interval="prediction")
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    one = pd.concat([back.predict(new.iloc[[i]]) for i in range(4)])  # what is learned is kept, not learned again
    np.testing.assert_allclose(one, theirs["predicted"], rtol=1e-13)  # BLAS may sum one row in another order
    equal(bh.load(saved(back, tmp_path)), fit)  # twice is no different


@pytest.mark.parametrize("update", ["descent", "momentum", "adam"])
def test_a_descent_comes_back_with_its_trace(update, tmp_path):
    fit = bh.fit("y ~ z + t", FRAME, update=update, epochs=4, weights="w")
    equal(bh.load(saved(fit, tmp_path)), fit)


@pytest.mark.parametrize("intercept", [True, False])
def test_array_models_come_back_bit_for_bit(intercept, tmp_path):
    X = FRAME[["x", "z"]]
    for given_ in (X, X.to_numpy(), torch.tensor(X.to_numpy())):
        fit = bh.fit(given_, FRAME["y"], intercept=intercept)
        back = bh.load(saved(fit, tmp_path))
        equal(back, fit)
        assert list(back.predict(given_)) == list(fit.predict(given_))


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_pickled_fit_is_what_its_file_is(formula):
    fit = bh.fit(formula, FRAME)
    kept = pickle.dumps(fit)
    equal(fit, pickle.loads(kept))
    assert struct.pack("<d", SECRET) not in kept
    assert copy.copy(fit) is fit
    assert copy.deepcopy([fit])[0] is fit  # it does not change, and keeps its rows


def test_a_pickle_that_is_damaged_is_refused():
    kept = bytearray(pickle.dumps(bh.fit("y ~ x", FRAME)))
    kept[len(kept) // 2] ^= 1
    with pytest.raises(ModelFileError, match="a pickled fit"):
        pickle.loads(bytes(kept))


def test_another_process_predicts_the_same(tmp_path):
    fit = bh.fit("y ~ bs(x, df=5) + city", FRAME)
    path = saved(fit, tmp_path)
    FRAME.drop(columns=["y", "size"]).to_parquet(tmp_path / "new.parquet")
    code = f"import betahat as bh; print(bh.load({str(path)!r}).predict({str(tmp_path / 'new.parquet')!r}).to_pylist())"
    environment = os.environ | {"PYTHONPATH": str(Path(bh.__file__).parent.parent)}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert json.loads(out.stdout) == fit.predict(FRAME).tolist()


def test_no_training_row_is_in_the_file(tmp_path):
    fit = bh.fit("secret ~ poly(secret, 2) + x", FRAME[["secret", "x"]], update="descent", lr=1e-16, epochs=2)
    content = saved(fit, tmp_path).read_bytes()
    assert str(SECRET).encode() not in content
    for value in [SECRET, *FRAME["x"]]:
        assert struct.pack("<d", value) not in content
        assert repr(float(value)).encode() not in content
    assert len(content) < 6000  # and it does not grow with them
    twice = bh.fit("secret ~ poly(secret, 2) + x", pd.concat([FRAME] * 9), update="descent", lr=1e-16, epochs=2)
    assert abs(len(saved(twice, tmp_path).read_bytes()) - len(content)) < 200


# ── whole or not at all ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("function", ["replace", "fsync", "chmod"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(function, tmp_path, monkeypatch):
    old = bh.fit("y ~ x", FRAME)
    path = saved(old, tmp_path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        letter(lambda: bh.fit("y ~ z", FRAME).save(path), ModelFileError, ["m.betahat", "No space left on device"])
    assert os.listdir(tmp_path) == ["m.betahat"]
    equal(bh.load(path), old)


def test_an_interrupted_save_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bh.fit("y ~ x", FRAME).save(tmp_path / "m.betahat")
    assert os.listdir(tmp_path) == []


def test_a_saved_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    assert saved(SMALL, tmp_path).stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_file_that_does_not_say_which_columns_a_term_has_tells_by_their_names(formula):
    design = bh.fit(formula, FRAME).design
    kept = {name: value for name, value in keeping.design_out(design).items() if name != "widths"}
    assert keeping.design_in(kept).widths == design.widths
    assert [len(block) for block in design.blocks] == list(design.widths)


@pytest.mark.parametrize("path", [3, None, b"m.betahat", "m\0.betahat", ["m.betahat"]])
def test_what_is_no_path_is_refused_at_every_door(path):
    words = ["is no path of a file", "'cars.betahat'"]
    table = {"x": [1.0, 2.0, 4.0], "y": [1.0, 3.0, 2.0]}
    letter(lambda: bh.fit("y ~ x", table).save(path), OptionError, words)
    letter(lambda: bh.Moments.of("y ~ x", table).save(path), OptionError, words)
    for read in (bh.load, bh.Moments.load):
        letter(lambda read=read: read(path), OptionError, words)


def test_a_path_from_the_users_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fit = bh.fit("y ~ x", {"x": [1.0, 2.0, 4.0], "y": [1.0, 3.0, 2.0]})
    fit.save("~/m.betahat")
    assert (tmp_path / "m.betahat").is_file()
    assert bh.load("~/m.betahat").params.equals(fit.params)


def test_a_folder_that_is_not_there(tmp_path):
    fit = bh.fit("y ~ x", FRAME)
    letter(lambda: fit.save(tmp_path / "no" / "m.betahat"), ModelFileError, ["m.betahat", "No such file"])
    letter(lambda: fit.save(tmp_path), ModelFileError, [tmp_path.name])
    assert os.listdir(tmp_path) == []


# ── what is no model ─────────────────────────────────────────────────────────────────────────────────────────────

SMALL = bh.fit("y ~ x + city", FRAME)


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))  # what a pickle may do when it is opened


def _safetensors(text: str | None) -> bytes:
    return save_tensors({"a": torch.ones(3)}, None if text is None else {"betahat": text})


def _bytes(content: bytes):
    return lambda path: path.write_bytes(content)


FOREIGN = {
    "empty": (_bytes(b""), ["m.betahat"]),
    "random text": (_bytes(b"Dear reader, this is no model at all."), ["not a betahat model"]),
    "a pickle": (_bytes(pickle.dumps(Bomb())), ["pickle", "can run code"]),
    "an old pickle": (_bytes(pickle.dumps(Bomb(), protocol=0)), ["not a betahat model"]),
    "a pickle behind a header": (_bytes(struct.pack("<Q", 2) + b"{}" + pickle.dumps(Bomb())), ["m.betahat"]),
    "a torch archive": (lambda path: torch.save({"coef": torch.ones(3)}, path), ["torch.save archive"]),
    "a zip": (_bytes(b"PK\x05\x06" + bytes(18)), ["m.betahat"]),
    "other tensors": (_bytes(_safetensors(None)), ["without a betahat entry"]),
    "an entry that is no JSON": (_bytes(_safetensors("{")), ["m.betahat", "damaged"]),
    "a newer format": (_bytes(_safetensors('{"format": 99}')), ["format 99", "formats up to 2", "upgrade"]),
    "nested without end": (_bytes(_safetensors("[" * 100_000)), ["m.betahat"]),
    "a header nested without end": (_bytes(struct.pack("<Q", 99_999) + b'{"a":' + b"[" * 99_994), ["m.betahat"]),
    "a header longer than the file": (_bytes(struct.pack("<Q", 2**40) + b"{" + bytes(99)), ["damaged"]),
}


@pytest.mark.parametrize("door", ["python", "describe", "predict"])
@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_model_is_refused_and_never_run(name, door, tmp_path, monkeypatch):
    make, words = FOREIGN[name]
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "m.betahat")
    if door == "python":
        letter(lambda: bh.load(tmp_path / "m.betahat"), ModelFileError, words)
    else:
        table = [] if door == "describe" else [write_csv(tmp_path / "t.csv", {"x": [1.0]}), "--out", "out.csv"]
        refused([door, str(tmp_path / "m.betahat"), *table], words, tmp_path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("door", ["python", "describe"])
def test_a_model_that_is_not_there(door, tmp_path):
    saved(SMALL, tmp_path)
    if door == "python":
        letter(lambda: bh.load(tmp_path / "n.betahat"), ModelFileError, ["n.betahat", "Did you mean"])
        letter(lambda: bh.load(tmp_path), ModelFileError, [tmp_path.name])
    else:
        refused(["describe", str(tmp_path / "n.betahat")], ["n.betahat", "m.betahat"], tmp_path)


def test_only_a_newer_format_is_called_newer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # its own name holds the word
    for text in ("{}", '{"format": null}', '{"format": 0}', '{"format": "1"}', '{"format": true}', '{"format": -1}'):
        (tmp_path / "m.betahat").write_bytes(_safetensors(text))
        assert "newer" not in letter(lambda: bh.load("m.betahat"), ModelFileError, ["m.betahat"])


def test_every_cut_is_noticed(tmp_path):
    content = saved(SMALL, tmp_path).read_bytes()
    path = tmp_path / "cut.betahat"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match="cut"):
            bh.load(path)
    path.write_bytes(content + b"\x00")
    with pytest.raises(ModelFileError):
        bh.load(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 0.999), st.integers(0, 3), st.binary(min_size=1, max_size=3)), min_size=1, max_size=2
    )
)
def test_a_changed_file_is_refused_or_still_the_same_model(changes, tmp_path):
    content = bytearray(saved(SMALL, tmp_path).read_bytes())
    for share, length, new in changes:
        place = int(share * len(content))
        content[place : place + length] = new
    (tmp_path / "changed.betahat").write_bytes(content)
    try:
        back = bh.load(tmp_path / "changed.betahat")
    except ModelFileError:
        return
    equal(back, SMALL)


ENTRIES = [
    ("fit.rss", "much"), ("fit.rank", None), ("fit.digits", math.inf), ("tally.read", "all"), ("dropped", []),
    ("remarks", None), ("steps.0.0", math.inf), ("design.names.1", None), ("design.kinds.x", "?"), ("design.kinds", {}),
    ("design.levels.city", 3), ("design.levels", {}), ("design.canonical", "y ~ __import__('os')"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "value"), ENTRIES)
def test_an_entry_of_the_wrong_kind_is_noticed_when_the_file_is_read(entry, value, tmp_path, monkeypatch):
    """Not later, by a TypeError from somewhere."""
    real = keeping.to_plain

    def tampered(given_):
        plain = real(given_)
        if isinstance(plain, dict) and "format" in plain:
            *above, last = [int(key) if key.isdigit() else key for key in entry.split(".")]
            place = plain
            for key in above:
                place = place[key]
            assert place[last] != value
            place[last] = value
        return plain

    monkeypatch.setattr(keeping, "to_plain", tampered)
    path = saved(SMALL, tmp_path)
    letter(lambda: bh.load(path), ModelFileError, ["m.betahat", "damaged"])


# ── JSON for what JSON lacks ─────────────────────────────────────────────────────────────────────────────────────

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("::array")
KEYS = st.text(max_size=5) | st.integers(-9, 9) | st.sampled_from(["::float", "::pairs", "::array", "shape"])
PLAIN = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def same(a, b) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@given(value=PLAIN)
def test_to_plain_and_back(value):
    text = json.dumps(keeping.to_plain(value), allow_nan=False)
    assert same(keeping.from_plain(json.loads(text)), value)


@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3), (0, 4), ()])
def test_arrays_and_numpy_numbers_and_back(shape):
    array = np.linspace(-1 / 3, 5.0, math.prod(shape)).reshape(shape)
    if array.size:
        array.flat[0] = math.inf
    back = keeping.from_plain(json.loads(json.dumps(keeping.to_plain({"a": array}), allow_nan=False)))["a"]
    assert back.shape == shape
    assert (back == array).all()
    assert keeping.to_plain([np.float64(0.1), np.int64(3), np.bool_(True), (1, 2)]) == [0.1, 3, True, [1, 2]]
    with pytest.raises(ModelFileError, match="object"):
        keeping.to_plain(object())
