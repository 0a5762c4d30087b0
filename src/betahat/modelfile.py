"""Model files: a Fit as JSON and tensors, in one versioned file that runs no code when it is read.

    fit.save("cars.betahat");  bh.load("cars.betahat")

The file is in the safetensors format: its header is JSON, and one entry of it, "betahat", holds the model as JSON text;
the tensors are the coefficients and their unscaled covariance. No row of the training data is in it. It is written
beside its place and renamed, so a reader sees the old file or the new one, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from betahat import __version__, errors
from betahat import columns as col
from betahat.arrays import Columns
from betahat.batch import Tally
from betahat.design import Design, categorical
from betahat.encoding import Encoder
from betahat.formula import parse
from betahat.outcome import Fit
from betahat.trace import Step, Trace

FORMAT = 1

#: what a model file says of a fit besides its tensors: name → the kinds that it may be of
_ENTRIES: dict[str, tuple[type, ...]] = {
    "weight": (float,), "rss": (float,), "mss": (float,), "rank": (int,), "log_weight": (float,), "weighted": (bool,),
    "condition": (float,), "digits": (float,), "loss": (str,), "update": (str,), "why": (str,), "label": (str,),
    "kind": (str,), "distance": (float,), "learning_rate": (float, type(None)),
    "learning_rate_limit": (float, type(None)), "offset_given": (str, type(None)), "nobs": (int,), "counted": (bool,),
}  # fmt: skip
_BROKEN = (
    SafetensorError, KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip


def save(fit: Fit, path: str | Path) -> None:
    """Write a model file, whole or not at all."""
    meta = {
        "format": FORMAT,
        "betahat": __version__,
        "design": _design_out(fit.design),
        "dropped": fit.dropped,
        "remarks": list(fit.remarks),
        "tally": {"read": fit.tally.read, "missing": fit.tally.missing, "weightless": fit.tally.weightless},
        "fit": {name: getattr(fit, name) for name in _ENTRIES},
        "spectrum": fit.spectrum,
        "steps": [[step.epoch, step.rows, step.loss] for step in fit.trace],
    }
    p = len(fit.terms)
    stack = {
        name: torch.stack([getattr(step, name) for step in fit.trace]) if len(fit.trace) else torch.empty(0, p)
        for name in ("gradient", "before", "after")
    }
    tensors = {"coef": fit.coef, "unscaled": fit.unscaled, "center": fit.center, **stack}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    target = Path(path)
    if target.is_file() and target.stat().st_size and not _looks_like_a_model(target):
        raise errors.cannot_write(str(path), "it is there already, and is no model")
    text = json.dumps(to_plain(meta), ensure_ascii=False)
    bare = save_tensors(tensors, {"betahat": text})
    write_whole(path, save_tensors(tensors, {"betahat": text, "sha256": _checksum(bare)}))


def _looks_like_a_model(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(9)[8:] == b"{"


def _checksum(content: bytes) -> str:
    """Of everything in a model file that matters: the model's JSON, the tensors' names and shapes, their bytes."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    text = header.pop("__metadata__")["betahat"]
    digest = hashlib.sha256(text.encode())
    digest.update(json.dumps(header, sort_keys=True).encode())
    digest.update(content[8 + length :])
    return digest.hexdigest()


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file beside its place and rename it, so that it is there whole or not at all."""
    target = Path(path).resolve()  # a link is followed, not replaced
    if target.exists() and not target.is_file():
        raise errors.cannot_write(str(path), "it is no regular file")
    try:
        handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as problem:
        raise errors.cannot_write(str(path), problem.strerror or str(problem)) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask)
        os.replace(beside, target)
    except BaseException as problem:  # an interrupt, too, leaves nothing behind
        Path(beside).unlink(missing_ok=True)
        if isinstance(problem, OSError):
            raise errors.cannot_write(str(path), problem.strerror or str(problem)) from None
        raise


def load(path: str | Path) -> Fit:
    """Read a model that `Fit.save` wrote.

    Raises
    ------
    ModelFileError
        When the file is missing, is no model, is damaged, or was written by a newer betahat. Nothing in a file is ever
        executed.
    """
    file = Path(path)
    if not file.is_file():
        beside = [p.name for p in file.parent.glob("*.betahat")] if file.parent.is_dir() else []
        raise errors.model_missing(str(path), beside)
    content = file.read_bytes()
    meta = _header(content, str(path))
    version = meta.get("format")
    if isinstance(version, int) and version > FORMAT and not isinstance(version, bool):
        raise errors.model_too_new(str(path), version, FORMAT)
    try:
        if version != FORMAT or isinstance(version, bool):
            raise ValueError(f"its format is {version!r}")
        return _fit(meta, load_tensors(content))
    except _BROKEN as problem:
        detail = problem.what if isinstance(problem, errors.BetahatError) else " ".join(str(problem).split())
        raise errors.model_damaged(str(path), detail[:200] or type(problem).__name__) from None


def _fit(meta: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Fit:
    """Make the Fit again, with every entry checked to be of its kind."""
    design = _design_in(meta["design"])
    p, k = len(design.names), len(design.names) - design.intercept
    shapes = {"coef": (p,), "unscaled": (p, p), "center": (k,)} | dict.fromkeys(
        ("gradient", "before", "after"), (len(meta["steps"]), p)
    )
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise ValueError(f"{name} has shape {tuple(tensors[name].shape)} instead of {shape}")
    entries: dict[str, Any] = {}
    older = {"nobs": meta["tally"]["read"] - meta["tally"]["missing"] - meta["tally"]["weightless"], "counted": False}
    for name, kinds in _ENTRIES.items():
        value = (older | meta["fit"])[name]
        value = float(value) if float in kinds and type(value) is int else value
        if type(value) not in kinds or (isinstance(value, float) and math.isnan(value)):
            raise ValueError(f"{name} is {value!r}")
        entries[name] = value
    if not (math.isfinite(entries["digits"]) and math.isfinite(entries["rss"]) and 0 <= entries["rank"] <= p):
        raise ValueError("a number is out of its range")
    dropped, remarks = _strings(meta["dropped"], dict), _strings(meta["remarks"], list)
    if any(type(meta["tally"][name]) is not int for name in ("read", "missing", "weightless")):
        raise ValueError("the rows are not counted in whole numbers")
    steps = tuple(
        Step(int(epoch), int(rows), float(loss), tensors["gradient"][i], tensors["before"][i], tensors["after"][i])
        for i, (epoch, rows, loss) in enumerate(meta["steps"])
    )
    extremes = meta.get("spectrum")
    if extremes is not None and (len(extremes) != 2 or any(type(v) is not float for v in extremes)):
        raise ValueError(f"its spectrum is {extremes!r}")
    return Fit(
        design=design,
        spectrum=None if extremes is None else (extremes[0], extremes[1]),
        coef=tensors["coef"],
        unscaled=tensors["unscaled"],
        center=tensors["center"],
        tally=Tally(**meta["tally"]),
        trace=Trace(design.names, steps),
        dropped=dropped,
        remarks=tuple(remarks),
        **entries,
    )


def _strings(value: Any, kind: type) -> Any:
    """A list or a dict of strings, checked to be one."""
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(value, kind) or any(not isinstance(item, str) for item in inside):
        raise ValueError(f"{str(value)[:40]!r} stands where strings should")
    return value


def _header(content: bytes, path: str) -> dict[str, Any]:
    """The model's JSON, from the header of a safetensors file: eight bytes of length, then JSON."""
    if content[8:9] != b"{":
        if content[:1] == b"\x80" or content[:2] == b"PK":
            why = "it is a pickle or a torch.save archive, which betahat never opens: they can run code"
            raise errors.not_a_model(path, why)
        raise errors.not_a_model(path, "it does not begin as a model file does")
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise errors.model_damaged(path, "it ends before its header does")
    try:
        header = json.loads(content[8 : 8 + length])
        text, kept = header["__metadata__"]["betahat"], header["__metadata__"].get("sha256")
    except _BROKEN:
        raise errors.not_a_model(path, "it is a safetensors file without a betahat entry") from None
    try:
        meta = from_plain(json.loads(text))
        newer = isinstance(meta, dict) and meta.get("format") not in (None, FORMAT)
        if not newer and kept is not None and kept != _checksum(content):
            raise ValueError("its content does not agree with its checksum")
    except _BROKEN as problem:
        raise errors.model_damaged(path, str(problem)[:200]) from None
    if not isinstance(meta, dict):
        raise errors.model_damaged(path, "its entry is no table of values")
    return meta


# ── designs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _design_out(design: Any) -> dict[str, Any]:
    if isinstance(design, Columns):
        kept = {"response": design.response, "intercept": design.intercept, "named": design.named}
        return {"kind": "columns", "names": list(design.names), **kept}
    return {
        "kind": "formula",
        "text": design.parsed.text,
        "canonical": design.parsed.canonical,
        "names": list(design.names),
        "kinds": design.kinds,
        "levels": design.levels,
        "ordered": sorted(design.ordered),
        "transforms": design.transforms,
    }


def _design_in(kept: dict[str, Any]) -> Design | Columns:
    names = tuple(_strings(kept["names"], list))
    if kept["kind"] == "columns":
        return Columns(names, str(kept["response"]), bool(kept["intercept"]), bool(kept["named"]))
    parsed = parse(kept["canonical"], text=kept["text"])
    kinds, levels, transforms = _strings(kept["kinds"], dict), kept["levels"], kept["transforms"]
    if set(parsed.columns) - set(kinds) or any(kind not in col.WORDS for kind in kinds.values()):
        raise ValueError("its columns and their kinds do not agree")
    if set(categorical(parsed, kinds)) - set(levels) or any(not isinstance(v, list) for v in levels.values()):
        raise ValueError("the levels of a category are missing")
    if not isinstance(transforms, dict):
        raise ValueError("what its transforms learned is missing")
    encoder = Encoder(parsed, kinds, levels, frozenset(_strings(kept["ordered"], list)))
    encoder.transforms = transforms
    return Design(parsed, names, kinds, levels, encoder.ordered, encoder.transforms, encoder)


# ── JSON for what JSON lacks: arrays, tuples, number keys, infinities ────────────────────────────────────────────


def to_plain(value: Any) -> Any:
    """A value as JSON can hold it; floats keep every digit, and what JSON lacks is spelled with a "::" key."""
    if isinstance(value, np.ndarray):
        return {"::array": [to_plain(v) for v in value.ravel().tolist()], "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return {"::float": repr(value)}
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("::") for key in value):
            return {key: to_plain(v) for key, v in value.items()}
        return {"::pairs": [[to_plain(key), to_plain(v)] for key, v in value.items()]}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise errors.cannot_write("the model", f"a {type(value).__name__} has no place in a model file")


def from_plain(value: Any) -> Any:
    """The reverse of `to_plain` (tuples come back as lists)."""
    if isinstance(value, list):
        return [from_plain(v) for v in value]
    if not isinstance(value, dict):
        return value
    if "::array" in value:
        return np.array([from_plain(v) for v in value["::array"]], dtype=np.float64).reshape(value["shape"])
    if "::float" in value:
        return float(value["::float"])
    if "::pairs" in value:
        return {from_plain(key): from_plain(v) for key, v in value["::pairs"]}
    return {key: from_plain(v) for key, v in value.items()}
