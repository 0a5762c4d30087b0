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


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module, as for python -m.")
@click.option(
    "--lang", type=click.Choice(["en", "ko"]), default="en", help="Language of the letters.", show_default=True
)
@click.option("--json", "json_to", metavar="FILE", help="Write the findings to a file, as JSON.")
@click.option("--sarif", "sarif_to", metavar="FILE", help="Write them for editors and continuous integration.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def watch(
    module: bool, lang: str, json_to: str | None, sarif_to: str | None, script: str, arguments: tuple[str, ...]
) -> None:
    """Run a SCRIPT with its ARGUMENTS, and say what is wrong with its training loops.

    Exit status 3 where a mistake is certain; otherwise the script's own.
    """
    import json

    from betahat.errors import BetahatError
    from betahat.watching.script import run

    try:
        findings, status = run(script, arguments, module=module, language=lang)
    except BetahatError as problem:
        click.echo(f"betahat: {problem}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    for path, found in ((json_to, findings.to_dict), (sarif_to, findings.to_sarif)):
        if path is not None:
            Path(path).write_text(json.dumps(found(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if not len(findings):
        click.echo(f"betahat: {findings}", err=True)
    sys.exit(3 if findings.findings.at("error") else status)
