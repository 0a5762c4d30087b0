"""Keeping: files of JSON and tensors, whole or not at all, that run no code when they are read.

    write_whole("fit.betahat", packed(meta, tensors))
    meta, tensors = unpacked("fit.betahat")

The format is safetensors: its header is JSON, and one entry of it, "betahat", holds what is to be kept as JSON text,
beside a checksum of everything. A file is written beside its place and renamed, so a reader sees the old one or the new
one, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from betahat import columns as col
from betahat import errors
from betahat.arrays import Columns
from betahat.design import Design
from betahat.encoding import Encoder, categorical, outcome
from betahat.formula import Parsed, parse
from betahat.response import BINARY, COUNT, NUMBER, Response

FORMAT = 1
NEWEST = 2  # what an earlier version would read wrongly says so: a model whose loss is not squared

#: what reading a file that somebody else made may raise
BROKEN = (
    SafetensorError, KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip


def place(path: Any) -> Path:
    """Where a file is to be, "~" the user's own folder."""
    if not isinstance(path, str | os.PathLike) or "\0" in str(path):
        raise errors.no_path(path)
    return Path(path).expanduser()


def packed(meta: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """The content of a file."""
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}  # none may share memory
    text = json.dumps(to_plain(meta), ensure_ascii=False)
    bare = save_tensors(tensors, {"betahat": text})
    content: bytes = save_tensors(tensors, {"betahat": text, "sha256": _checksum(bare)})
    return content


def unpacked(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file holds, its checksum and format tested; nothing in it is ever executed.

    Raises
    ------
    ModelFileError
        When the file is no such file, is damaged, or was written by a newer betahat.
    """
    return opened(place(path).read_bytes(), path)


def opened(content: bytes, path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The same of a file's content; the path is for letters."""
    meta = _header(content, str(path))
    version = meta.get("format")
    if isinstance(version, int) and version > NEWEST and not isinstance(version, bool):
        raise errors.model_too_new(str(path), version, NEWEST)
    try:
        if version not in (FORMAT, NEWEST) or isinstance(version, bool):
            raise ValueError(f"its format is {version!r}")
        return meta, load_tensors(content)
    except BROKEN as problem:
        raise damaged(path, problem) from None


def damaged(path: str | Path, problem: Exception) -> errors.ModelFileError:
    """The letter for a file whose content does not make sense."""
    detail = problem.what if isinstance(problem, errors.BetahatError) else " ".join(str(problem).split())
    return errors.model_damaged(str(path), detail[:200] or type(problem).__name__)


def strings(value: Any, kind: type) -> Any:
    """A list or a dict of strings, checked to be one."""
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(value, kind) or any(not isinstance(item, str) for item in inside):
        raise ValueError(f"{str(value)[:40]!r} stands where strings should")
    return value


def looks_like_ours(path: Path) -> bool:
    """Whether a file begins as ours do, so that it may be replaced."""
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


def write_whole(path: str | Path, content: bytes | Iterable[bytes], *, again: bool = False) -> None:
    """Write a file, given at once or in parts, beside its place and rename it: it is there whole or not at all.

    What is written `again` and again has one name beside its place, so that a killed run leaves nothing that piles up.
    """
    target = place(path).resolve()  # a link is followed, not replaced
    if target.exists() and not target.is_file():
        raise errors.cannot_write(str(path), "it is no regular file")
    try:
        if again:
            beside = str(target.with_name(f".{target.name}.part"))
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        else:
            handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as problem:
        raise errors.cannot_write(str(path), problem.strerror or str(problem)) from None
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines([content] if isinstance(content, bytes) else content)
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
    except BROKEN:
        raise errors.not_a_model(path, "it is a safetensors file without a betahat entry") from None
    try:
        meta = from_plain(json.loads(text))
        newer = isinstance(meta, dict) and meta.get("format") not in (None, FORMAT, NEWEST)
        if not newer and kept is not None and kept != _checksum(content):
            raise ValueError("its content does not agree with its checksum")
    except BROKEN as problem:
        raise errors.model_damaged(path, str(problem)[:200]) from None
    if not isinstance(meta, dict):
        raise errors.model_damaged(path, "its entry is no table of values")
    return meta


# ── designs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def design_out(design: Any) -> dict[str, Any]:
    """What a design has learned, as plain values."""
    if isinstance(design, Columns):
        kept = {"response": design.response, "intercept": design.intercept, "named": design.named}
        return {"kind": "columns", "names": list(design.names), **kept, **_reads_out(design.reads)}
    return {
        "kind": "formula",
        "text": design.parsed.text,
        "canonical": design.parsed.canonical,
        "names": list(design.names),
        "kinds": design.kinds,
        "levels": design.levels,
        "ordered": sorted(design.ordered),
        "transforms": design.transforms,
        "widths": list(design.widths),
        **_reads_out(design.reads),
    }


def _reads_out(reads: Response) -> dict[str, Any]:
    """How a response is read; nothing of one that is a plain number, as in files of earlier versions."""
    return {} if reads == NUMBER else {"reads": [reads.kind, list(reads.levels), reads.counted]}


def _reads_in(kept: dict[str, Any]) -> Response:
    """The same again, with every entry checked to be of its kind."""
    if "reads" not in kept:
        return NUMBER
    kind, levels, counted = kept["reads"]
    known = kind in (NUMBER.kind, COUNT.kind, BINARY.kind) and type(levels) is list and type(counted) is bool
    if not known or (levels and (len(levels) != 2 or kind != BINARY.kind)):
        raise ValueError(f"its response is read as {errors.clipped(kept['reads'])}")
    return Response(kind, tuple(levels), counted)


def design_in(kept: dict[str, Any]) -> Design | Columns:
    """The design again, with every entry checked to be of its kind."""
    names = tuple(strings(kept["names"], list))
    reads = _reads_in(kept)
    if kept["kind"] == "columns":
        return Columns(names, str(kept["response"]), bool(kept["intercept"]), bool(kept["named"]), reads)
    parsed = parse(kept["canonical"], text=kept["text"], pair=reads.binary)
    kinds, levels, transforms = strings(kept["kinds"], dict), kept["levels"], kept["transforms"]
    if set(parsed.columns) - set(kinds) or any(kind not in col.WORDS for kind in kinds.values()):
        raise ValueError("its columns and their kinds do not agree")
    if set(categorical(parsed, kinds, binary=reads.binary)) - set(levels) or any(
        not isinstance(v, list) for v in levels.values()
    ):
        raise ValueError("the levels of a category are missing")
    if reads.binary and outcome(parsed, kinds) is not None and not reads.levels:
        raise ValueError("the levels of its response are missing")
    if not isinstance(transforms, dict):
        raise ValueError("what its transforms learned is missing")
    encoder = Encoder(parsed, kinds, levels, frozenset(strings(kept["ordered"], list)))
    encoder.transforms = transforms
    widths = tuple(kept.get("widths") or _widths(parsed, kinds, names))
    if any(type(v) is not int for v in widths) or (len(widths), sum(widths)) != (len(parsed.terms), len(names)):
        raise ValueError("its columns and its terms do not agree")
    return Design(parsed, names, kinds, levels, encoder.ordered, encoder.transforms, encoder, widths, reads)


def _widths(parsed: Parsed, kinds: dict[str, str], names: Sequence[str]) -> tuple[int, ...]:
    """How many columns each term has, told by their names: files of an earlier version do not say.

    A column is called by its factors, joined by ':', a bracket after each that makes several columns. Of the terms
    that could have made a name, the one of most factors did: no level is called ']:h[T.b'.
    """
    by_code = {factor.code: factor for factor in parsed.factors.values()}

    def pattern(codes: tuple[str, ...]) -> re.Pattern[str]:
        if codes == ("1",):
            return re.compile("Intercept")
        parts = []
        for factor in (by_code[code] for code in codes):
            plain = factor.role == "column" and kinds[factor.columns[0]] == "number"
            shown = factor.columns[0] if factor.role == "column" else factor.expr
            parts.append(re.escape(shown) + ("" if plain else r"(\[.*\])?"))
        return re.compile(":".join(parts))

    patterns = sorted(((len(codes), i, pattern(codes)) for i, codes in enumerate(parsed.codes)), reverse=True)
    owners = [next(i for _, i, made in patterns if made.fullmatch(name)) for name in names]
    return tuple(owners.count(i) for i in range(len(parsed.terms)))


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
