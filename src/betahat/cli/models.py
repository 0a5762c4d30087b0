"""Models: `betahat fit`, `predict`, `describe` and `table`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from betahat.cli.options import (
    asked_of,
    covariance_options,
    form_option,
    general_only,
    lettered,
    level_option,
    loss_asked,
    ratio_option,
    takes_pairs,
)


@click.command()
@click.argument("data")
@click.argument("formula")
@click.option("--weights", metavar="COLUMN", help="Column of precision weights; weight zero leaves a row out.")
@click.option("--freq", metavar="COLUMN", help="Column of counts: how many equal rows each row stands for.")
@click.option("--offset", metavar="COLUMN", help="Column added to the prediction with coefficient one.")
@click.option(
    "--loss",
    default="squared",
    metavar="NAME",
    help="squared, binomial, poisson, gamma, 'inverse gaussian', 'negative binomial', tweedie, quasi-poisson, "
    "quasi-binomial.",
    show_default=True,
)
@click.option("--link", metavar="NAME", help="logit, probit, cloglog, log, identity, …; the loss's own when left out.")
@click.option("--trials", metavar="COLUMN", help="binomial: the response counts successes among so many trials.")
@click.option("--exposure", metavar="COLUMN", help="Log links: how long, or how many, each row was exposed.")
@click.option("--theta", type=float, metavar="SIZE", help="negative binomial: given; estimated when left out.")
@click.option("--power", type=float, metavar="POWER", help="tweedie: the power of its variance, such as 1.5.")
@click.option(
    "--update",
    default="auto",
    metavar="NAME",
    help="auto, exact, newton, lbfgs, descent, momentum or adam.",
    show_default=True,
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
@covariance_options
@level_option
@ratio_option
@click.option("--save", "save_to", metavar="FILE", help="Save the model (never its data) for predict and describe.")
@click.option("--plot", "plot_to", metavar="FILE", help="Draw the residuals in four panels: FILE.png, .pdf or .svg.")
@form_option
@click.option("--quiet", is_flag=True, help="No remarks and no progress.")
@lettered
def fit(
    data: str,
    formula: str,
    weights: str | None,
    freq: str | None,
    offset: str | None,
    loss: str,
    link: str | None,
    trials: str | None,
    exposure: str | None,
    theta: float | None,
    power: float | None,
    update: str,
    lr: float | None,
    epochs: int | None,
    collinear: str,
    missing: str,
    checkpoint: str | None,
    memory: str | None,
    level: float,
    exponentiate: bool,
    save_to: str | None,
    plot_to: str | None,
    form: str,
    quiet: bool,
    **options: Any,
) -> None:
    """Fit FORMULA to DATA and print the summary.

    DATA is the path of a CSV, Parquet or Arrow file, a folder of them, or a quoted glob. FORMULA reads as in R:
    "arr_delay ~ dep_delay + C(carrier)"; with --loss binomial also "cbind(successes, failures) ~ dose".
    """
    import betahat as bh
    from betahat import errors, inference, plot, sandwich
    from betahat.formula import responses
    from betahat.loss import named
    from betahat.report import ratios

    if "~" in data.removeprefix("~") and not Path(data).exists():
        raise errors.swapped_on_the_command_line()
    inference.quantile(level, 1)
    sandwich.maker(**(how := asked_of(options)))
    family = loss_asked(loss, theta, power)
    if exponentiate:
        ratios.factor(named(family, link))
    if responses(formula)[0] and not takes_pairs(family):
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
            loss=family,
            link=link,
            trials=trials,
            exposure=exposure,
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
    text = _render(model, level, form, exponentiate)
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


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--interval", type=click.Choice(["confidence", "prediction"]), help="Add lower and upper bounds.")
@click.option("--level", type=float, default=0.95, help="Level of the bounds.", show_default=True)
@click.option("--scale", type=click.Choice(["response", "link"]), help="Of a generalized linear model; response.")
@click.option("--offset", metavar="COLUMN", help="Column to add, where the fit had --offset.")
@click.option("--exposure", metavar="COLUMN", help="Column of exposures, where the fit had --exposure.")
@click.option(
    "--out", metavar="FILE", help="Write to FILE (.csv, .parquet or .arrow) instead of CSV on standard output."
)
@click.option("--quiet", is_flag=True, help="No remarks.")
@lettered
def predict(
    model: str,
    data: str,
    interval: str | None,
    level: float,
    scale: str | None,
    offset: str | None,
    exposure: str | None,
    out: str | None,
    quiet: bool,
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
    loaded = bh.load(model)
    more = general_only(loaded, scale=scale, exposure=exposure)
    result = loaded.predict(data, interval=interval, level=level, offset=offset, **more)
    table = result if isinstance(result, pa.Table) else pa.table({"predicted": result})
    if out is None or writer is None:
        click.echo(files.as_csv(table).decode().rstrip("\n"))
        return
    from betahat.keeping import write_whole

    write_whole(out, writer(table))
    if not quiet:
        click.echo(f"{table.num_rows:,} predictions are in {out}.", err=True)


@click.command()
@click.argument("model")
@level_option
@ratio_option
@form_option
@lettered
def describe(model: str, level: float, exponentiate: bool, form: str) -> None:
    """Print what a saved MODEL is: its summary, and the columns that it needs."""
    import betahat as bh
    from betahat import errors

    loaded = bh.load(model)
    click.echo(_render(loaded, level, form, exponentiate))
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
    for what, given in (("offset", loaded.offset_given), ("exposure", getattr(loaded, "exposure_given", None))):
        if given is not None:
            click.echo(f"  {given or 'an array'}: the {what}")


@click.command()
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
@level_option
@ratio_option
@lettered
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
    exponentiate: bool,
) -> None:
    """Set saved MODELS side by side, as papers print them."""
    import betahat as bh

    listed: dict[str, Any] = {} if statistics is None else {"statistics": [n.strip() for n in statistics.split(",")]}
    called = None if names is None else [name.strip() for name in names.split(",")]
    made = bh.table(
        [bh.load(path) for path in models], show=show.replace("\\n", "\n"), models=called, title=title, stars=stars,
        level=level, exponentiate=exponentiate, **listed,
    )  # fmt: skip
    if out is None:
        click.echo(made.to(form))
    else:
        made.save(out)


def _render(model: Any, level: float, form: str, exponentiate: bool) -> str:
    import json

    summary = model.summary(level, exponentiate=exponentiate)
    if form == "json":
        return json.dumps(summary.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
    return str(getattr(summary, f"to_{form}")())


def _silent_progress(quiet: bool) -> Any:
    from betahat.progress import silent

    return silent(quiet)
