"""Notebook: the cell magic that watches the loops of a cell. Nothing else of ours knows IPython.

%load_ext betahat

%%betahat_watch findings --lang ko
for epoch in range(30): ...
"""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from betahat.finding import LEVELS
from betahat.watching import LANGUAGES, watch

NAME = "betahat_watch"


@magic_arguments()  # type: ignore[untyped-decorator]
@argument("name", nargs="?", default="findings", help="A variable for what was found: findings when left out.")  # type: ignore[untyped-decorator]
@argument("--lang", choices=LANGUAGES, default="en", help="Language of the letters.")  # type: ignore[untyped-decorator]
@argument("--raise-on", choices=LEVELS, default=None, help="Stop at the first finding of this level or a graver one.")  # type: ignore[untyped-decorator]
def betahat_watch(line: str, cell: str) -> None:
    """Run a cell, and say what is wrong with its training loops."""
    asked = parse_argstring(betahat_watch, line)
    if not asked.name.isidentifier():
        raise UsageError(f"%%{NAME}: {asked.name!r} is no name of a variable")
    shell = _shell()
    watching = watch(raise_on=asked.raise_on, language=asked.lang)
    shell.user_ns[asked.name] = watching
    try:
        with watching:
            shell.run_cell(cell, store_history=False).raise_error()
    except BaseException as problem:
        problem._render_traceback_ = list  # type: ignore[attr-defined]  # the cell has shown it
        raise
    if not len(watching):
        print(watching.closing)


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()  # type: ignore[no-untyped-call, unused-ignore]


def register(shell: Any) -> None:
    """Make the magic known to a shell."""
    shell.register_magic_function(betahat_watch, magic_kind="cell", magic_name=NAME)


def forget(shell: Any) -> None:
    """Take it away."""
    shell.magics_manager.magics["cell"].pop(NAME, None)
