"""Loops: `betahat lecture` and `betahat watch`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from betahat.cli.options import lettered


@click.command()
@click.option("--lang", metavar="ko|en", help="Language; from the locale when left out.")
@click.option("--json", "as_json", is_flag=True, help="Only the numbers, as JSON.")
@lettered
def lecture(lang: str | None, as_json: bool) -> None:
    """Replay the lecture: one regression written six ways, every number checked against what the lecture printed."""
    import json

    from betahat.lecture import replay

    result = replay(lang)
    if as_json:
        click.echo(json.dumps(result.to_dict(), ensure_ascii=False, indent=2))
    elif sys.stdout is not None and sys.stdout.isatty():
        from rich.console import Console

        Console().print(result)
    else:
        click.echo(str(result))
    sys.exit(0 if result.agree == result.of else 1)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as for python -m.")
@click.option(
    "--lang", type=click.Choice(["en", "ko"]), default="en", help="Language of the letters.", show_default=True
)
@click.option("--json", "json_to", metavar="FILE", help="Write the findings to a file, as JSON.")
@click.option("--sarif", "sarif_to", metavar="FILE", help="Write them for editors and continuous integration.")
@click.option(
    "--explain",
    metavar="FINDING",
    is_eager=True,
    expose_value=False,
    callback=lambda context, option, name: None if name is None else _explain(name),
    help="Print the page about a finding, with a loop that fails and its mended twin, and run nothing.",
)
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def watch(
    module: bool, lang: str, json_to: str | None, sarif_to: str | None, script: str, arguments: tuple[str, ...]
) -> None:
    """Run a SCRIPT with its ARGUMENTS as python would, and say what is wrong with its training loops.

    Options of betahat stand before SCRIPT; all that comes after it is the script's. Findings are printed to standard
    error when they arise. The script's own output, traceback and exit status are left as they are, but for status 3,
    which says that a mistake is certain.

    \b
      betahat watch train.py --epochs 10
      betahat watch -m package.module --epochs 10
      betahat watch --sarif findings.sarif train.py
      betahat watch --explain gradient-not-cleared
    """  # noqa: D301
    import json

    from betahat.errors import BetahatError
    from betahat.keeping import write_whole
    from betahat.watching.script import run

    for path in (json_to, sarif_to):
        if path is not None and not Path(path).absolute().parent.is_dir():
            raise click.BadParameter(f"there is no folder {str(Path(path).parent)!r} to write {path!r} into")
    wanted = [(None if path is None else Path(path).absolute()) for path in (json_to, sarif_to)]
    try:
        findings, status = run(script, arguments, module=module, language=lang)
        for file, found in zip(wanted, (findings.to_dict, findings.to_sarif), strict=True):
            if file is not None:
                write_whole(file, (json.dumps(found(), ensure_ascii=False, indent=2) + "\n").encode())
    except BetahatError as problem:
        click.echo(f"betahat: {problem}", err=True)
        sys.exit(1)
    click.echo(f"betahat: {findings.closing}", err=True)
    sys.exit(3 if findings.findings.at("error") else status)


def _explain(name: str) -> None:
    from betahat.errors import BetahatError
    from betahat.watching import pages

    try:
        click.echo(pages.text(name).rstrip())
    except BetahatError as problem:
        click.echo(f"betahat: {problem}", err=True)
        sys.exit(1)
    sys.exit(0)
