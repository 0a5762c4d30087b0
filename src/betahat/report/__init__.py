"""Report: a Fit as a table to read: text, Markdown, LaTeX, HTML, or a dict.

    print(fit)                            # Summary.of(fit).to_text()
    fit.summary(level=0.99).to_latex()

Every default that shaped the numbers is printed: rows used and dropped, update and why, covariance, degrees of
freedom, how the information criteria count, arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from betahat import errors, inference
from betahat.lowrank import LowRank
from betahat.numerals import aligned, column, freedom, number, p_value, printed_in, readable, t_value
from betahat.outcome import LinearFit
from betahat.report import markup
from betahat.report.frames import glance, tidy, values
from betahat.report.plain import text
from betahat.report.ratios import HOW, estimates, ratio

WIDTH, LEAST = 80, 40  # cells of a line: as it is printed, and at least

__all__ = ["HOW", "WIDTH", "Summary", "estimates", "glance", "ratio", "tidy"]


@dataclass(frozen=True)
class Summary:
    """A fit's table, ready to be set in any form."""

    fit: LinearFit
    level: float
    exponentiate: bool = False

    @classmethod
    def of(cls, fit: LinearFit, level: float = 0.95, exponentiate: bool = False) -> Summary:
        """The summary with intervals of this level, of coefficients or of what they are factors of."""
        inference.quantile(level, 1)
        if exponentiate:
            ratio(fit)
        return cls(fit, level, bool(exponentiate))

    # ── content ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def title(self) -> str:
        """What was fitted."""
        fit = self.fit
        return f"Least squares: {fit.formula or f'{fit.response} on {errors.listing(fit.terms)}'}"

    @property
    def left(self) -> list[tuple[str, str]]:
        """How it was fitted: label and value."""
        fit = self.fit
        used = f"{fit.tally.used:,} used" + (f" for {fit.nobs:,}" if fit.counted else "")
        lines = [("Rows", f"{used}, {fit.tally.read - fit.tally.used:,} dropped")]
        if fit.weighted:
            lines.append(("Weights", "precisions"))
        if fit.offset_given is not None:
            lines.append(("Offset", fit.offset_given or "an array"))
        lines.append(
            ("Update", fit.update if fit.learning_rate is None else f"{fit.update}, {fit.trace.epochs:,} epochs")
        )
        if fit.learning_rate is not None:
            limited = fit.update in ("descent", "momentum")
            limit = f" (limit {number(fit.learning_rate_limit or math.nan, 4)})" if limited else ""
            lines.append(("Rate", number(fit.learning_rate, 4) + limit))
            lines.append(("Distance", f"{number(fit.distance, 3)} std. errors"))
        lines += [
            ("Condition", f"{number(fit.condition, 3)}, {math.floor(fit.digits)} digits"),
            ("Covariance", fit.covariance.words),
            ("Arithmetic", "float64, cpu"),
        ]
        return lines

    @property
    def right(self) -> list[tuple[str, str]]:
        """How good it is: label and value."""
        fit = self.fit
        return [
            ("R²", number(fit.rsquared)),
            ("adjusted R²", number(fit.rsquared_adj)),
            self._jointly(),
            ("Residual std. error", number(fit.sigma)),
            ("Log-likelihood", number(fit.llf, 6)),
            ("AIC", number(fit.aic, 6)),
            ("BIC", number(fit.bic, 6)),
        ]

    def _jointly(self) -> tuple[str, str]:
        """F, or the Wald test that stands in its place under another covariance than the classical one."""
        fit, joint = self.fit, self.fit.covariance.joint
        f, p = inference.f_test(fit)
        if fit.covariance.kind == "classical":
            return f"F({fit.df_model:,}, {fit.df_resid:,})", f"{number(f)}  p {p_value(p)}"
        if math.isinf(joint):
            return f"Wald χ²({fit.df_model:,})", f"{number(fit.df_model * f)}  p {p_value(p)}"
        return f"Wald F({fit.df_model:,}, {freedom(joint)})", f"{number(f)}  p {p_value(p)}"

    @property
    def _kept(self) -> list[int]:
        return [i for i in self._shown if self.fit.terms[i] not in self.fit.dropped]

    @property
    def _shown(self) -> list[int]:
        """The terms that have a line: all, but for levels that were eliminated."""
        factor = self.eliminated
        gone = range(0) if factor is None else range(1 + factor.start, factor.start + factor.levels)
        return [i for i in range(len(self.fit.terms)) if i not in gone]

    @property
    def eliminated(self) -> Any:
        """The category whose levels were eliminated, if one was."""
        return self.fit.design.category if isinstance(getattr(self.fit, "unscaled", None), LowRank) else None

    def _in_order(self, cells: dict[str, list[str]]) -> list[tuple[str, list[str] | str]]:
        """The lines of the table: a term's cells, why it has none, or what is to be said of all levels together."""
        fit, factor = self.fit, self.eliminated
        lines: list[tuple[int, str, list[str] | str]] = []
        for i in self._shown:
            term = fit.terms[i]
            lines.append((i, term, self.without(term) if term in fit.dropped else cells[term]))
        if factor is not None:
            gone = sum(term in fit.dropped for term in fit.terms[1 + factor.start : factor.start + factor.levels])
            many = f"{factor.levels:,} levels ({factor.levels - 1 - gone:,} coefficients)"
            lines.append((1 + factor.start, errors.clipped(factor.term, 40), f"{many}, not shown; fit.tidy() has them"))
        return [(term, told) for _, term, told in sorted(lines, key=lambda line: line[0])]

    @property
    def letter(self) -> str:
        """The statistic's name: z where the normal is used for every term, else t."""
        df = self.fit.covariance.df[self._kept]
        return "z" if len(df) and bool(df.isinf().all()) else "t"

    @property
    def varied(self) -> bool:
        """Whether the terms have degrees of freedom of their own (CR2 after Satterthwaite)."""
        df = self.fit.covariance.df[self._kept]
        return bool((df != df[:1]).any()) and not bool(df.isnan().all())

    @property
    def heads(self) -> list[str]:
        """The names of the coefficient table's columns."""
        tail = f"{(1 - self.level) / 2:.6g}".removeprefix("0"), f"{(1 + self.level) / 2:.6g}".removeprefix("0")
        first = ratio(self.fit) if self.exponentiate else "coef"
        return [first, "std err", self.letter, *["df"] * self.varied, "p", f"[{tail[0]}", f"{tail[1]}]"]

    def rows(self, digits: int = 5, *, line_up: bool = True) -> list[tuple[str, list[str] | str]]:
        """Term and a text for each head, their points under each other if wanted; or the reason why it was dropped."""
        fit = self.fit
        columns, kept = estimates(fit, self.level, self.exponentiate).values(), self._kept
        coef, error, t, p, lower, upper = ([float(values[i]) for i in kept] for values in columns)
        ts, ps = [t_value(v) for v in t], [p_value(v) for v in p]
        df = [[freedom(float(fit.covariance.df[i])) for i in kept]] * self.varied
        if line_up:
            ends = column(lower + upper, digits)  # together, so that both show the same decimals
            cells = [
                column(coef, digits),
                column(error, digits),
                aligned(ts),
                *map(aligned, df),
                aligned(ps),
                ends[: len(t)],
                ends[len(t) :],
            ]
        else:
            numbers = [[number(v, digits) for v in values] for values in (coef, error, lower, upper)]
            cells = [*numbers[:2], ts, *df, ps, *numbers[2:]]
        by_term = {fit.terms[i]: [c[place] for c in cells] for place, i in enumerate(kept)}
        return self._in_order(by_term)

    def without(self, term: str) -> str:
        """Why a term has no numbers, in its place in the table."""
        return f"dropped: equals {self.fit.dropped[term]}"

    @property
    def notes(self) -> list[str]:
        """What stands below the table."""
        fit = self.fit
        notes = [f"Data: {fit.label}.", f"Why {fit.why}."]
        if fit.tally.missing:
            notes.append(f"{errors.count(fit.tally.missing, 'row')} dropped: a value was missing.")
        if fit.tally.weightless:
            what = "frequency" if fit.counted and not fit.weighted else "weight"
            notes.append(f"{errors.count(fit.tally.weightless, 'row')} dropped: the {what} was zero.")
        if not fit.intercept:
            notes.append("Without an intercept R² and F are about zero, not about the mean.")
        if fit.dropped:
            notes.append(f"{errors.count(len(fit.dropped), 'term')} dropped: earlier terms say the same.")
        robust = fit.covariance.kind != "classical"
        if robust and fit.condition > inference.FAIR and fit.covariance.parts is None and math.isnan(fit.fvalue):
            notes.append(
                f"No F of all: the terms are collinear (condition {fit.condition:.2g}), and the rows are not at hand."
            )
        if robust and self.eliminated is not None and math.isnan(fit.fvalue):
            notes.append(f"No F of all: no robust covariance tells of {len(fit.terms):,} coefficients together.")
        notes.append("AIC and BIC count the coefficients, as statsmodels does; R counts the variance too.")
        return [*notes, *fit.covariance.notes, *fit.remarks]

    # ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────

    def to_text(self, width: int = WIDTH) -> str:
        """Plain text, at most `width` cells wide (wide characters counted as two), from 40 on."""
        if isinstance(width, bool) or not isinstance(width, int) or width < LEAST:
            raise errors.too_narrow(width, LEAST)
        return text(self, width)

    def to_markdown(self) -> str:
        """Markdown: two tables and the notes."""
        return markup.markdown(self)

    def to_latex(self) -> str:
        """LaTeX with booktabs: a table environment."""
        return markup.latex(self)

    def to_html(self) -> str:
        """HTML: a fragment with its own light style, for a page or a notebook."""
        return markup.html(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON: what is not a finite number is None."""
        return values(self)

    def __str__(self) -> str:
        return readable(self.to_text(), printed_in())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        from rich.text import Text

        text = readable(self.to_text(max(LEAST, min(WIDTH, options.max_width))), options.encoding)
        first, _, rest = text.partition("\n")
        yield Text(first, style="bold", overflow="fold")
        yield Text(rest, overflow="fold")
