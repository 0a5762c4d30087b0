"""Script: somebody's script or module run as `python` would run it, watched.

    findings, status = run("train.py", ["--epochs", "10"])

It is `__main__` while it runs, finds its own arguments in `sys.argv`, and imports what lies beside it. What it does not
catch ends it as it would end under `python`: with its own traceback, and with the status that a shell would see.
"""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from betahat import errors
from betahat.watching import watch

INTERRUPTED = 130  # what a shell sees of a program that ended by Ctrl-C
_OURS = (__file__, runpy.__file__, "<frozen runpy>", "<frozen importlib._bootstrap>")


def run(script: str, arguments: Sequence[str], *, module: bool = False, language: str = "en") -> tuple[watch, int]:
    """Run a script, or a module, and say what is wrong with its loops; its own exit status comes back, too.

    Parameters
    ----------
    script : str
        A file, a folder or an archive with a `__main__.py`, or the name of a module.
    arguments : sequence of str
        What it finds in `sys.argv` after its own name.
    module : bool
        Whether it is a module, as in `python -m`.
    language : {"en", "ko"}

    Raises
    ------
    SourceError
        When there is no such file, or no such module.
    """
    watching, status = watch(language=language), 0
    with _as_main(script, arguments, module):
        start = _module(script) if module else _file(script)
        try:
            with watching:
                start()
        except SystemExit as ended:
            status = _status(ended)
        except KeyboardInterrupt as problem:
            _told(problem)
            status = INTERRUPTED
        except Exception as problem:
            _told(problem)
            status = 1
    return watching, status


def _file(script: str) -> Any:
    """What runs a file."""
    path = Path(script)
    if path.is_dir() or (path.is_file() and path.suffix in (".zip", ".pyz", ".pyc")):
        return lambda: runpy.run_path(script, run_name="__main__")
    if not path.exists():
        beside = [one.name for one in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise errors.file_missing(script, beside)
    main, whole = sys.modules["__main__"], os.path.join(os.getcwd(), script)  # as it is written, "./" and all
    main.__file__ = whole

    def start() -> None:
        with io.open_code(whole) as file:
            code = compile(file.read(), whole, "exec", dont_inherit=True)
        exec(code, main.__dict__)

    return start


def _module(name: str) -> Any:
    """What runs a module: one that is not there is told at once, one that fails while it is imported as it fails."""
    import importlib.util

    def start() -> None:
        runpy.run_module(name, run_name="__main__", alter_sys=True)

    try:
        there = importlib.util.find_spec(name)
        if there is not None and there.submodule_search_locations is not None:
            there = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError as problem:
        raise errors.no_module(name, str(problem)) from None
    except Exception:
        return start  # a package above it fails: as it would under python
    if there is None:
        raise errors.no_module(name, "nothing of this name is found, or it is a package without __main__")
    return start


def _status(ended: SystemExit) -> int:
    """The status that a shell would see; a message instead of one is printed."""
    if ended.code is None or isinstance(ended.code, int):
        return int(ended.code or 0)
    print(ended.code, file=sys.stderr)
    return 1


def _told(problem: BaseException) -> None:
    """The script's own traceback, by whoever shows tracebacks, without the frames that are ours."""
    trace: TracebackType | None = problem.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
        trace = trace.tb_next
    problem.__traceback__ = trace
    sys.excepthook(type(problem), problem, trace)


@contextmanager
def _as_main(script: str, arguments: Sequence[str], module: bool) -> Iterator[None]:
    """`sys.argv`, `sys.path` and `__main__` as the script expects them."""
    argv, path, main = sys.argv[:], sys.path[:], sys.modules["__main__"]
    sys.argv[:] = [script, *arguments]
    if not sys.flags.safe_path:  # python -P, and PYTHONSAFEPATH: no folder is put in front
        sys.path[0:1] = [str(Path.cwd() if module else Path(script).resolve().parent)]
    own = ModuleType("__main__")
    own.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = own
    try:
        yield
    finally:
        sys.argv[:], sys.path[:] = argv, path
        sys.modules["__main__"] = main
