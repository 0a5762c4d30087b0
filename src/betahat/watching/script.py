"""Script: somebody's script or module run as `python` would run it, watched.

findings, status = run("train.py", ["--epochs", "10"])
"""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from betahat import errors
from betahat.watching import watch


def run(script: str, arguments: Sequence[str], *, module: bool = False, language: str = "en") -> tuple[watch, int]:
    """Run a script, or a module, and say what is wrong with its loops; its own exit status comes back, too.

    Parameters
    ----------
    script : str
        A file, or the name of a module.
    arguments : sequence of str
        What it finds in `sys.argv` after its own name.
    module : bool
        Whether it is a module, as in `python -m`.
    language : {"en", "ko"}

    Raises
    ------
    SourceError
        When there is no such file.
    """
    if not module and not Path(script).is_file():
        raise errors.file_missing(script)
    watching, status = watch(language=language), 0
    with _as_main(script, arguments, module):
        try:
            with watching:
                if module:
                    runpy.run_module(script, run_name="__main__", alter_sys=True)
                else:
                    runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
        except Exception:
            status = 1
            kind, problem, trace = sys.exc_info()
            while trace is not None and trace.tb_frame.f_code.co_filename in (
                __file__,
                runpy.__file__,
                "<frozen runpy>",
            ):
                trace = trace.tb_next
            traceback.print_exception(kind, problem, trace)
    return watching, status


@contextmanager
def _as_main(script: str, arguments: Sequence[str], module: bool) -> Iterator[None]:
    """`sys.argv` and `sys.path` as the script expects them."""
    argv, path = sys.argv[:], sys.path[:]
    sys.argv[:] = [script, *arguments]
    sys.path[0:1] = [str(Path.cwd() if module else Path(script).resolve().parent)]
    try:
        yield
    finally:
        sys.argv[:], sys.path[:] = argv, path
