"""The command line: `betahat fit`, `predict`, `describe`, `table`, `lecture`, `watch`.

Results go to standard output, progress and remarks to standard error. Exit status 0, 1 (an error with its reason), 2
(usage), 3 (`watch` is certain of a mistake). Heavy rooms are imported by the commands that need them, so that
`betahat --help` answers at once.
"""

from __future__ import annotations

import codecs
import sys

import click

from betahat import __version__
from betahat.cli.loops import lecture, watch
from betahat.cli.models import describe, fit, predict, table


def _in_words(problem: UnicodeError) -> tuple[str, int]:
    """What a terminal shows that lacks a sign: 2 for ², and '?' for a Hangul letter; never a traceback."""
    from betahat.numerals import readable

    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    text = readable(problem.object[problem.start : problem.end], problem.encoding)
    return text.encode(problem.encoding, "replace").decode(problem.encoding), problem.end


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="betahat")
def main() -> None:
    """Learn regression models, see every step of the learning, and report the result as a statistician would.

    \b
      betahat fit cars.csv "mpg ~ wt + C(cyl)" --save cars.betahat
      betahat fit panel.parquet "y ~ x" --vcov CR2 --cluster firm
      betahat predict cars.betahat new.csv --interval prediction
      betahat watch train.py --epochs 10
      betahat lecture
    """  # noqa: D301
    if sys.stdout is None:  # closed by the caller (>&-): a result that nobody can read is no success
        click.echo("betahat: standard output is closed, so there is nowhere to print a result", err=True)
        sys.exit(1)
    codecs.register_error("betahat", _in_words)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="betahat")


for command in (fit, predict, describe, table, lecture, watch):
    main.add_command(command)
