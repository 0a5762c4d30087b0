"""Places: where in the user's own code something happened, and by what name it goes there.

place = here()                      # the nearest frame that is neither torch's nor ours
place.words                         # "train.py:14"
name_of(optimizer, frame)           # "opt", if a variable of that frame holds it
"""

from __future__ import annotations

import sys
import sysconfig
import weakref
from dataclasses import dataclass
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType, FunctionType, GeneratorType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

_OURS = str(Path(__file__).parent)
_FOREIGN = (str(Path(torch.__file__).parent), _OURS, "<frozen ")
_DEEP = 60  # frames that are looked at
_INSTALLED = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
_WIDE = 64  # attributes of an object that are looked at
_PLAIN = {
    bool, float, int, list, dict, range, str, tuple, type, type(None), FunctionType, ModuleType, Tensor, nn.Linear,
    nn.Sequential, nn.MSELoss,
}  # fmt: skip  # of nobody's making: what most variables are
_kinds: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()
_own: dict[CodeType, int] = {}  # how much code is the user's: 2 quite, 1 that of a library, 0 torch's or ours


@dataclass(frozen=True)
class Place:
    """A line of the user's code."""

    file: str
    line: int

    @property
    def words(self) -> str:
        """As an editor and a traceback have it, without the folders."""
        return f"{_cell(self.file) or (self.file if self.file.startswith('<') else Path(self.file).name)}:{self.line}"


def _cell(file: str) -> str:
    """A cell of a notebook as the notebook counts it, "In[3]": it is kept under a name that says nothing."""
    if "ipython" not in file and "ipykernel" not in file:
        return ""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    number = getattr(getattr(shell, "compile", None), "_filename_map", {}).get(file)
    return f"In[{number}]" if number else ""


def frame_here() -> FrameType | None:
    """The nearest frame of the user's own code; of a library that trains for them, where there is none."""
    frame: FrameType | None = sys._getframe(1)
    library = None
    for _ in range(_DEEP):
        if frame is None:
            break
        own = _whose(frame.f_code)
        if own == 2:
            return frame
        if own == 1 and library is None:
            library = frame
        frame = frame.f_back
    return library


def _whose(code: CodeType) -> int:
    own = _own.get(code)
    if own is None:
        if len(_own) > 10_000:
            _own.clear()
        file = code.co_filename
        own = _own[code] = 0 if file.startswith(_FOREIGN) else 1 if file.startswith(_INSTALLED) else 2
    return own


def is_users(code: CodeType) -> bool:
    """Whether code is the user's own: neither torch's, ours, nor that of an installed library."""
    return _whose(code) == 2


def here() -> Place | None:
    """The nearest line of the user's own code."""
    frame = frame_here()
    return None if frame is None else Place(frame.f_code.co_filename, frame.f_lineno)


def name_of(value: Any, frame: FrameType | None, otherwise: str) -> str:
    """A variable that holds this very object: in the frame, in its module, or as an attribute of `self`."""
    for name, held in variables(frame):
        if held is value:
            return name
    return otherwise


def weights_of(frame: FrameType | None) -> dict[int, str]:
    """By id, what the user's code calls each weight: by a variable, or by its module's name and its own."""
    found: dict[int, str] = {}
    for name, held in variables(frame):
        if isinstance(held, Tensor):
            found.setdefault(id(held), name)
        elif isinstance(held, nn.Module):
            for inner, one in held.named_parameters():
                found.setdefault(id(one), f"{name}.{inner}")
    return found


def names_of(value: Any, frame: FrameType | None) -> list[str]:
    """The names of one kind by which this very object goes where a frame stands: its own variables, or attributes.

    What a caller or the module around calls it is not counted: an argument has another name there.
    """
    if frame is None:
        return []
    code = frame.f_code
    own = {*code.co_varnames, *code.co_cellvars, *code.co_freevars} if code.co_flags & CO_OPTIMIZED else None
    found = [*dict.fromkeys(name for name, one in variables(frame) if one is value)]
    attributes = [name for name in found if "." in name]
    plain = [name for name in found if "." not in name and (own is None or name in own)]
    return max(attributes, plain, key=len)


def variables(frame: FrameType | None) -> list[tuple[str, Any]]:
    """The names that a line of code can use and what they hold: of its function, of `self`, of its module."""
    if frame is None:
        return []
    found = list(frame.f_locals.items())
    if sys.version_info < (3, 13) and frame.f_code.co_flags & CO_OPTIMIZED:
        frame.f_locals.clear()  # a copy, which Python keeps with the frame: it would hold what the loop lets go
    for owner, one in list(found):
        kind = type(one)
        if owner == "self" or (kind not in _PLAIN and (kind.__module__ == "__main__" or _is_users(kind))):
            found += [(f"{owner}.{name}", held) for name, held in list(getattr(one, "__dict__", {}).items())[:_WIDE]]
    return [(name, held) for name, held in [*found, *list(frame.f_globals.items())] if not name.startswith("_")]


def _is_users(kind: type) -> bool:
    """Whether a class is of the user's own making: its file is neither torch's, ours, nor installed."""
    known = _kinds.get(kind)
    if known is None:
        file = getattr(sys.modules.get(kind.__module__), "__file__", None) or ""
        known = _kinds[kind] = bool(file) and not file.startswith((*_FOREIGN, *_INSTALLED))
    return known


def ended() -> str | None:
    """A variable that holds a generator which has given all its elements, where the user's code stands."""
    for name, held in variables(frame_here()):
        if isinstance(held, GeneratorType) and held.gi_frame is None:
            return name
    return None
