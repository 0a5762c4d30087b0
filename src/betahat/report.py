"""Report: a Fit as a table to read: text, Markdown, LaTeX, HTML, or a dict.

    print(fit)                            # Summary.of(fit).to_text()
    fit.summary(level=0.99).to_latex()

Every default that shaped the numbers is printed: rows used and dropped, update and why, covariance, degrees of
freedom, how the information criteria count, arithmetic.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len

from betahat import errors, inference
from betahat.numerals import aligned, column, number, p_value, pad, t_value, wrap
from betahat.outcome import Fit
from betahat.source import hand_out

WIDTH = 80
_RULE = "─"


@dataclass(frozen=True)
class Summary:
    """A fit's table, ready to be set in any form."""

    fit: Fit
    level: float

    @classmethod
    def of(cls, fit: Fit, level: float = 0.95) -> Summary:
        """The summary with intervals of this level."""
        inference.quantile(level, 1)
        return cls(fit, level)

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
            ("Update", fit.update if fit.learning_rate is None else f"{fit.update}, {len(fit.trace):,} epochs")
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
        f, p = inference.f_test(fit)
        return [
            ("R²", number(fit.rsquared)),
            ("adjusted R²", number(fit.rsquared_adj)),
            (f"F({fit.df_model:,}, {_freedom(fit.covariance.joint)})", f"{number(f)}  p {p_value(p)}"),
            ("Residual std. error", number(fit.sigma)),
            ("Log-likelihood", number(fit.llf, 6)),
            ("AIC", number(fit.aic, 6)),
            ("BIC", number(fit.bic, 6)),
        ]

    @property
    def heads(self) -> list[str]:
        """The names of the coefficient table's columns."""
        tail = f"{(1 - self.level) / 2:.6g}".removeprefix("0"), f"{(1 + self.level) / 2:.6g}".removeprefix("0")
        letter = "z" if bool(self.fit.covariance.df.isinf().all()) else "t"
        return ["coef", "std err", letter, "p", f"[{tail[0]}", f"{tail[1]}]"]

    def rows(self, digits: int = 5, *, line_up: bool = True) -> list[tuple[str, list[str] | str]]:
        """Term and six texts, their points under each other if wanted; or term and the reason why it was dropped."""
        fit = self.fit
        bounds = inference.conf_int(fit, self.level)
        columns = [fit.params, fit.bse, fit.tvalues, fit.pvalues, bounds["lower"], bounds["upper"]]
        kept = [i for i, term in enumerate(fit.terms) if term not in fit.dropped]
        coef, error, t, p, lower, upper = ([float(series.iloc[i]) for i in kept] for series in columns)
        ts, ps = [t_value(v) for v in t], [p_value(v) for v in p]
        if line_up:
            ends = column(lower + upper, digits)  # together, so that both show the same decimals
            cells = [
                column(coef, digits),
                column(error, digits),
                aligned(ts),
                aligned(ps),
                ends[: len(t)],
                ends[len(t) :],
            ]
        else:
            numbers = [[number(v, digits) for v in values] for values in (coef, error, lower, upper)]
            cells = [*numbers[:2], ts, ps, *numbers[2:]]
        by_term = {fit.terms[i]: [c[place] for c in cells] for place, i in enumerate(kept)}
        return [(t, f"dropped: equals {fit.dropped[t]}" if t in fit.dropped else by_term[t]) for t in fit.terms]

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
        notes.append("AIC and BIC count the coefficients, as statsmodels does; R counts the variance too.")
        return [*notes, *fit.covariance.notes, *fit.remarks]

    # ── forms ────────────────────────────────────────────────────────────────────────────────────────────────────

    def to_text(self, width: int = WIDTH) -> str:
        """Plain text, at most `width` cells wide (wide characters counted as two)."""
        rule = _RULE * width
        lines = [*wrap(self.title, width, "  "), rule, *self._head(width), rule, *self._table(width), rule]
        for note in self.notes:
            lines += wrap(note, width, "  ")
        return "\n".join(line.rstrip() for line in lines)

    def _head(self, width: int) -> Iterator[str]:
        left, right = self.left, self.right
        label_a, label_b = (max(cell_len(a) for a, _ in side) + 2 for side in (left, right))
        value_b = max(cell_len(b) for _, b in right)
        half = width - label_b - value_b - 2
        for i in range(max(len(left), len(right))):
            a = pad(left[i][0], label_a) + left[i][1] if i < len(left) else ""
            b = pad(right[i][0], label_b) + pad(right[i][1], value_b, right=True) if i < len(right) else ""
            yield pad(a, half) + "  " + b

    def _table(self, width: int) -> Iterator[str]:
        # A name of up to 28 cells is worth some beauty, then some digits, then some air between the columns.
        longest = min(28, max(cell_len(term) for term in self.fit.terms))
        for digits, line_up, gap in ((5, True, 2), (4, True, 2), (5, False, 2), (4, False, 2), (4, False, 1)):
            rows = self.rows(digits, line_up=line_up)
            columns = [[cells[i] for _, cells in rows if not isinstance(cells, str)] for i in range(6)]
            widths = [max(map(cell_len, [head, *texts])) for head, texts in zip(self.heads, columns, strict=True)]
            space = width - sum(widths) - gap * 6
            if space >= longest:
                break
        names = min(max([4, *(cell_len(term) for term, _ in rows)]), max(8, space))
        gap += max(0, min(2, (width - names - sum(widths) - gap * 6) // 6))
        heads = "".join(" " * gap + pad(h, w, right=True) for h, w in zip(self.heads, widths, strict=True))
        yield " " * names + heads
        for term, cells in rows:
            *over, last = (wrap(term, names) or [""]) if cell_len(term) <= names else _broken(term, names, width)
            yield from over
            if isinstance(cells, str):
                yield from (
                    wrap(f"{pad(last, names)}{' ' * gap}{cells}", width, "  ")
                    if cell_len(last) > names
                    else (pad(last, names) + " " * gap + line for line in wrap(cells, width - names - gap))
                )
                continue
            yield pad(last, names) + "".join(
                " " * gap + pad(t, w, right=True) for t, w in zip(cells, widths, strict=True)
            )

    def to_markdown(self) -> str:
        """Markdown: two tables and the notes."""
        lines = [f"**{_md(self.title)}**", "", "| | | | |", "|:--|:--|:--|--:|"]
        left, right = self.left, self.right
        for i in range(max(len(left), len(right))):
            pair = (*(left[i] if i < len(left) else ("", "")), *(right[i] if i < len(right) else ("", "")))
            lines.append("| " + " | ".join(_md(text) for text in pair) + " |")
        lines += ["", "| term | " + " | ".join(_md(head) for head in self.heads) + " |", "|:--|" + "--:|" * 6]
        for term, cells in self.rows():
            texts = [cells, *[""] * 5] if isinstance(cells, str) else cells
            lines.append("| " + " | ".join(_md(text.strip()) for text in (term, *texts)) + " |")
        return "\n".join([*lines, "", *(f"- {_md(note)}" for note in self.notes)])

    def to_latex(self) -> str:
        """LaTeX with booktabs: a table environment."""
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(self.title)}}}",
            r"\begin{tabular}{lrrrrrr}",
            r"\toprule",
            " & ".join(["", *(_tex(head) for head in self.heads)]) + r" \\",
            r"\midrule",
        ]
        for term, cells in self.rows():
            body = (
                rf"\multicolumn{{6}}{{l}}{{{_tex(cells)}}}"
                if isinstance(cells, str)
                else " & ".join(_tex(c.strip()) for c in cells)
            )
            lines.append(f"{_tex(term)} & {body} " + r"\\")
        lines.append(r"\midrule")
        for label, value in [*self.right, *self.left]:
            lines.append(rf"{_tex(label)} & \multicolumn{{6}}{{l}}{{{_tex(value)}}} \\")
        notes = " ".join(_tex(note) for note in self.notes)
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "", rf"\footnotesize {notes}", r"\end{table}"])

    def to_html(self) -> str:
        """HTML: a fragment with its own light style, for a page or a notebook."""
        e = html.escape
        left, right = self.left, self.right
        head = "".join(
            "<tr>"
            + "".join(f"<td>{e(t)}</td>" for side in (left, right) for t in (side[i] if i < len(side) else ("", "")))
            + "</tr>"
            for i in range(max(len(left), len(right)))
        )
        body = "".join(
            f"<tr><th>{e(term)}</th>"
            + (
                f'<td colspan="6" class="bh-dropped">{e(cells)}</td>'
                if isinstance(cells, str)
                else "".join(f"<td>{e(c.strip())}</td>" for c in cells)
            )
            + "</tr>"
            for term, cells in self.rows()
        )
        heads = "".join(f"<th>{e(h)}</th>" for h in self.heads)
        notes = "".join(f"<li>{e(note)}</li>" for note in self.notes)
        return (
            f'<div class="bh-fit"><style>{_STYLE}</style><p><b>{e(self.title)}</b></p>'
            f'<table class="bh-head">{head}</table>'
            f'<table class="bh-coef"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table>'
            f"<ul>{notes}</ul></div>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON: what is not a finite number is None."""
        fit = self.fit
        f, p = inference.f_test(fit)
        bounds = inference.conf_int(fit, self.level)
        values = {
            "coef": fit.params, "std_error": fit.bse, "t": fit.tvalues, "p": fit.pvalues,
            "lower": bounds["lower"], "upper": bounds["upper"],
        }  # fmt: skip
        coefficients = [
            {"term": term, "dropped": fit.dropped[term]}
            if term in fit.dropped
            else {"term": term} | {name: _finite(series.iloc[i]) for name, series in values.items()}
            for i, term in enumerate(fit.terms)
        ]
        t = fit.tally
        return {
            "formula": fit.formula,
            "response": fit.response,
            "data": fit.label,
            "rows": {"read": t.read, "used": t.used, "missing": t.missing, "weightless": t.weightless},
            "loss": fit.loss,
            "update": fit.update,
            "why": fit.why,
            "epochs": len(fit.trace),
            "learning_rate": fit.learning_rate,
            "distance": _finite(fit.distance),
            "weights": "precisions" if fit.weighted else None,
            "frequencies": fit.counted,
            "nobs": fit.nobs,
            "offset": fit.offset_given,
            "covariance": fit.covariance.kind,
            "level": self.level,
            "coefficients": coefficients,
            "r_squared": _finite(fit.rsquared),
            "r_squared_adjusted": _finite(fit.rsquared_adj),
            "f": {"value": _finite(f), "df1": fit.df_model, "df2": fit.df_resid, "p": _finite(p)},
            "sigma": _finite(fit.sigma),
            "rss": fit.rss,
            "df_residual": fit.df_resid,
            "log_likelihood": _finite(fit.llf),
            "aic": _finite(fit.aic),
            "bic": _finite(fit.bic),
            "condition": _finite(fit.condition),
            "digits": fit.digits,
            "dtype": "float64",
            "device": "cpu",
            "notes": self.notes,
        }

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()

    def __rich_console__(self, console: Any, options: Any) -> Any:
        from rich.text import Text

        text = self.to_text(min(WIDTH, max(60, options.max_width)))
        first, _, rest = text.partition("\n")
        yield Text(first, style="bold", no_wrap=True)
        yield Text(rest, no_wrap=True)


_STYLE = (
    ".bh-fit table{border-collapse:collapse;margin:.4em 0}.bh-fit td,.bh-fit th{padding:.1em .7em;border:0}"
    ".bh-fit .bh-head td:nth-child(odd){opacity:.7}.bh-fit .bh-head td:nth-child(4){text-align:right}"
    ".bh-fit .bh-coef{border-top:1.5px solid;border-bottom:1.5px solid}.bh-fit .bh-coef td,.bh-fit .bh-coef thead th"
    "{text-align:right;font-variant-numeric:tabular-nums}.bh-fit .bh-coef tbody th{text-align:left;font-weight:normal}"
    ".bh-fit .bh-coef thead th{border-bottom:1px solid}.bh-fit td.bh-dropped{text-align:left;opacity:.7}"
    ".bh-fit ul{margin:.3em 0;padding-left:1.2em;font-size:smaller}"
)


def tidy(fit: Fit, level: float = 0.95) -> Any:
    """One row for each term, with broom's columns (dots as underscores), in the kind of frame that came in."""
    bounds = inference.conf_int(fit, level)
    columns = {
        "term": list(fit.terms),
        "estimate": fit.params.to_numpy(),
        "std_error": fit.bse.to_numpy(),
        "statistic": fit.tvalues.to_numpy(),
        "p_value": fit.pvalues.to_numpy(),
        "conf_low": bounds["lower"].to_numpy(),
        "conf_high": bounds["upper"].to_numpy(),
    }
    return hand_out(columns, fit.kind)


def glance(fit: Fit) -> Any:
    """One row for the whole fit, with broom's columns (dots as underscores), in the kind of frame that came in."""
    f, p = inference.f_test(fit)
    values: dict[str, float] = {
        "r_squared": fit.rsquared,
        "adj_r_squared": fit.rsquared_adj,
        "sigma": fit.sigma,
        "statistic": f,
        "p_value": p,
        "df": fit.df_model,
        "log_lik": fit.llf,
        "aic": fit.aic,
        "bic": fit.bic,
        "deviance": fit.rss,
        "df_residual": fit.df_resid,
        "nobs": fit.nobs,
    }
    return hand_out({name: [value] for name, value in values.items()}, fit.kind)


def _broken(term: str, names: int, width: int) -> list[str]:
    """A term too long for its column: on lines of its own, then an empty name beside the numbers."""
    return [*wrap(term, width), ""]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _freedom(df: float) -> str:
    return "∞" if math.isinf(df) else f"{df:,.0f}"


def _md(text: str) -> str:
    for sign in "\\|*_`[]<>":
        text = text.replace(sign, "\\" + sign)
    return text


def _tex(text: str) -> str:
    table = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "²": r"\textsuperscript{2}",
    }
    table |= {sign: "\\" + sign for sign in "&%$#_{}"} | {"·": r"$\cdot$", "−": "--", "∞": r"$\infty$", "–": "--"}
    table |= {"[": "{[}", "]": "{]}"}
    return "".join(table.get(character, character) for character in text)
