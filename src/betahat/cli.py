"""The command line: `betahat fit`, `predict`, `describe`, `table`, `lecture`, `watch`.

Results go to standard output, progress and remarks to standard error. Exit status 0, 1 (an error with its reason), 2
(usage), 3 (`watch` is certain of a mistake). Heavy rooms are imported by the commands that need them, so that
`betahat --help` answers at once.
"""

from __future__ import annotations

import codecs
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import click

from betahat import __version__


def _lettered(command: Callable[..., None]) -> Callable[..., None]:
    """Show an error of the library as its letter, without a traceback; show warnings as remarks."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        from betahat.errors import BetahatError

        quiet = options.get("quiet", False)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                command(*args, **options)
        except BetahatError as problem:
            click.echo(f"betahat: {problem}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            kept = options.get("checkpoint")
            click.echo(f"betahat: interrupted{f'; what was gathered is in {kept}' if kept else ''}", err=True)
            sys.exit(130)
        except BrokenPipeError:  # whoever read has gone; there is nobody to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as problem:
            click.echo(f"betahat: {problem}", err=True)
            sys.exit(1)
        for warning in caught:
            if not quiet and issubclass(warning.category, UserWarning):
                click.echo(f"remark: {warning.message}", err=True)

    return run


def _in_words(problem: UnicodeError) -> tuple[str, int]:
    """What a terminal shows that lacks a sign: 2 for ², and '?' for a Hangul letter; never a traceback."""
    from betahat.numerals import readable

    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    text = readable(problem.object[problem.start : problem.end], problem.encoding)
    return text.encode(problem.encoding, "replace").decode(problem.encoding), problem.end


_form = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "latex", "html", "json"]),
    default="text",
    help="Form of the summary.",
    show_default=True,
)
_VCOV = [
    click.option("--vcov", metavar="KIND", help="classical, HC0 to HC4, CR0 to CR3, CR1S or HAC."),
    click.option("--cluster", metavar="COLUMN", multiple=True, help="Clusters of CR; once for each way."),
    click.option("--small-sample", metavar="WHOSE", help="R, stata, fixest, statsmodels, clubSandwich or none."),
    click.option("--kernel", metavar="NAME", help="bartlett, parzen or qs, for HAC."),
    click.option("--lags", type=int, metavar="N", help="The last lag of HAC; chosen when left out."),
    click.option("--bandwidth", metavar="B", help="A number, newey-west or andrews, for HAC."),
    click.option("--prewhite", is_flag=True, default=None, help="Take a VAR(1) out of the scores first, for HAC."),
]


def _covariance(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a covariance."""
    for option in reversed(_VCOV):
        command = option(command)
    return command


def _how(options: dict[str, Any]) -> dict[str, Any]:
    """What `with_vcov` is to be asked, of the options that were given."""
    from betahat import errors
    from betahat.sandwich import clustered

    how = {name: value for name, value in options.items() if value not in (None, ())}
    if "vcov" in how:
        how["kind"] = how.pop("vcov")
    if "cluster" in how:
        how["cluster"] = list(how["cluster"])
    elif how.get("kind") in clustered.KINDS:
        raise errors.cluster_needed_on_the_command_line(how["kind"])
    with suppress(KeyError, ValueError):  # it is left out, or a name
        how["bandwidth"] = float(how["bandwidth"])
    return how


_level = click.option("--level", type=float, default=0.95, help="Level of the intervals.", show_default=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="betahat")
def main() -> None:
    """Learn regression models, see every step of the learning, and report the result as a statistician would.

    \b
      betahat fit cars.csv "mpg ~ wt + C(cyl)" --save cars.betahat
      betahat fit panel.parquet "y ~ x" --vcov CR2 --cluster firm
      betahat predict cars.betahat new.csv --interval prediction
      betahat lecture
    """  # noqa: D301
    if sys.stdout is None:  # closed by the caller (>&-): a result that nobody can read is no success
        click.echo("betahat: standard output is closed, so there is nowhere to print a result", err=True)
        sys.exit(1)
    codecs.register_error("betahat", _in_words)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="betahat")


@main.command()
@click.argument("data")
@click.argument("formula")
@click.option("--weights", metavar="COLUMN", help="Column of precision weights; weight zero leaves a row out.")
@click.option("--freq", metavar="COLUMN", help="Column of counts: how many equal rows each row stands for.")
@click.option("--offset", metavar="COLUMN", help="Column added to the prediction with coefficient one.")
@click.option(
    "--update", default="auto", metavar="NAME", help="auto, exact, descent, momentum or adam.", show_default=True
)
@click.option("--lr", type=float, metavar="RATE", help="Learning rate of a descent; chosen when left out.")
@click.option("--epochs", type=click.IntRange(min=1), help="Steps of a descent; as many as it takes when left out.")
@click.option("--collinear", default="drop", metavar="POLICY", help="drop, raise or min_norm.", show_default=True)
@click.option("--missing", default="drop", metavar="POLICY", help="drop or raise.", show_default=True)
@click.option(
    "--checkpoint",
    metavar="FILE",
    help="Keep what was gathered in FILE after each data file; the same command goes on from there.",
)
@click.option("--memory", metavar="SIZE", help="Ceiling for what is taken beyond the libraries: 500MB, 2GB, 1.5GiB.")
@_covariance
@_level
@click.option("--save", "save_to", metavar="FILE", help="Save the model (never its data) for predict and describe.")
@click.option("--plot", "plot_to", metavar="FILE", help="Draw the residuals in four panels: FILE.png, .pdf or .svg.")
@_form
@click.option("--quiet", is_flag=True, help="No remarks and no progress.")
@_lettered
def fit(
    data: str,
    formula: str,
    weights: str | None,
    freq: str | None,
    offset: str | None,
    update: str,
    lr: float | None,
    epochs: int | None,
    collinear: str,
    missing: str,
    checkpoint: str | None,
    memory: str | None,
    level: float,
    save_to: str | None,
    plot_to: str | None,
    form: str,
    quiet: bool,
    **options: Any,
) -> None:
    """Fit FORMULA to DATA and print the summary.

    DATA is the path of a CSV, Parquet or Arrow file, a folder of them, or a quoted glob. FORMULA reads as in R:
    "arr_delay ~ dep_delay + C(carrier)".
    """
    import betahat as bh
    from betahat import errors, inference, plot, sandwich
    from betahat.formula import responses

    if "~" in data.removeprefix("~") and not Path(data).exists():
        raise errors.swapped_on_the_command_line()
    inference.quantile(level, 1)
    sandwich.maker(**(how := _how(options)))
    if responses(formula)[0]:
        raise errors.option_not_for("cbind(…)", "the command line", "fit one response at a time, or use Python")
    for target in (save_to, plot_to):
        if target is not None and not Path(target).expanduser().resolve().parent.is_dir():
            raise errors.cannot_write(target, "No such folder")
    if plot_to is not None:
        plot.check(plot_to)
    with _silent_progress(quiet):
        model = bh.fit(
            formula,
            data,
            weights=weights,
            freq=freq,
            offset=offset,
            update=update,
            lr=lr,
            epochs=epochs,
            collinear=collinear,
            missing=missing,
            checkpoint=checkpoint,
            memory=memory,
        )
        if how:
            model = model.with_vcov(**how)
    text = _render(model, level, form)
    if save_to is not None:
        model.save(save_to)
    click.echo(text)
    if plot_to is not None:
        with _silent_progress(quiet):
            plot.write(model, plot_to)
    if save_to and not quiet:
        click.echo(f"The model is saved in {save_to}.", err=True)
    if plot_to and not quiet:
        click.echo(f"The picture is in {plot_to}.", err=True)


@main.command()
@click.argument("model")
@click.argument("data")
@click.option("--interval", type=click.Choice(["confidence", "prediction"]), help="Add lower and upper bounds.")
@click.option("--level", type=float, default=0.95, help="Level of the bounds.", show_default=True)
@click.option("--offset", metavar="COLUMN", help="Column to add, where the fit had --offset.")
@click.option(
    "--out", metavar="FILE", help="Write to FILE (.csv, .parquet or .arrow) instead of CSV on standard output."
)
@click.option("--quiet", is_flag=True, help="No remarks.")
@_lettered
def predict(
    model: str, data: str, interval: str | None, level: float, offset: str | None, out: str | None, quiet: bool
) -> None:
    """Predict each row of DATA with a saved MODEL."""
    import pyarrow as pa

    import betahat as bh
    from betahat import errors, files

    writer = None if out is None else files.writer(out)
    if out is not None and any(
        Path(out).exists() and Path(p).exists() and Path(out).samefile(p) for p in (data, model)
    ):
        raise errors.cannot_write(out, "it is what the prediction is made from")
    result = bh.load(model).predict(data, interval=interval, level=level, offset=offset)
    table = result if isinstance(result, pa.Table) else pa.table({"predicted": result})
    if out is None or writer is None:
        click.echo(files.as_csv(table).decode().rstrip("\n"))
        return
    from betahat.keeping import write_whole

    write_whole(out, writer(table))
    if not quiet:
        click.echo(f"{table.num_rows:,} predictions are in {out}.", err=True)


@main.command()
@click.argument("model")
@_level
@_form
@_lettered
def describe(model: str, level: float, form: str) -> None:
    """Print what a saved MODEL is: its summary, and the columns that it needs."""
    import betahat as bh
    from betahat import errors

    loaded = bh.load(model)
    click.echo(_render(loaded, level, form))
    if form != "text":
        return
    if loaded.formula is None:
        click.echo(
            f"\nTo predict it needs an array with the columns {errors.listing(loaded.terms[loaded.intercept :], 50)}."
        )
        return
    click.echo("\nTo predict it needs these columns:")
    for name in dict.fromkeys(name for factor in loaded.design.predictors for name in factor.columns):
        levels = loaded.design.levels.get(name)
        what = "numbers" if levels is None else f"{len(levels)} levels: {errors.listing(levels, 12)}"
        click.echo(f"  {name}: {what}")
    if loaded.offset_given is not None:
        click.echo(f"  {loaded.offset_given or 'an array'}: the offset")


@main.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--show", default="se", help="Below each estimate: se, t, p, ci, or a template.", show_default=True)
@click.option("--statistics", metavar="NAMES", help="Separated by commas: nobs,rsquared,aic.")
@click.option("--names", metavar="NAMES", help="What the models are called, separated by commas.")
@click.option("--title", default="", help="Title of the table.")
@click.option("--stars", is_flag=True, help="* p < 0.05, ** p < 0.01, *** p < 0.001.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "latex", "html", "typst", "json"]),
    default="text",
    help="Form of the table.",
    show_default=True,
)
@click.option(
    "--out", metavar="FILE", help="Write to FILE, in the form of its ending (.tex, .md, .html, .typ, .txt, .json)."
)
@_level
@_lettered
def table(
    models: tuple[str, ...],
    show: str,
    statistics: str | None,
    names: str | None,
    title: str,
    stars: bool,
    form: str,
    out: str | None,
    level: float,
) -> None:
    """Set saved MODELS side by side, as papers print them."""
    import betahat as bh

    listed: dict[str, Any] = {} if statistics is None else {"statistics": [n.strip() for n in statistics.split(",")]}
    called = None if names is None else [name.strip() for name in names.split(",")]
    made = bh.table(
        [bh.load(path) for path in models], show=show.replace("\\n", "\n"), models=called, title=title, stars=stars,
        level=level, **listed,
    )  # fmt: skip
    if out is None:
        click.echo(made.to(form))
    else:
        made.save(out)


@main.command()
@click.option("--lang", metavar="ko|en", help="Language; from the locale when left out.")
@click.option("--json", "as_json", is_flag=True, help="Only the numbers, as JSON.")
@_lettered
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


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
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


def _render(model: Any, level: float, form: str) -> str:
    import json

    summary = model.summary(level)
    if form == "json":
        return json.dumps(summary.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
    return str(getattr(summary, f"to_{form}")())


def _silent_progress(quiet: bool) -> Any:
    from betahat.progress import silent

    return silent(quiet)


if __name__ == "__main__":
    main()
