"""The lecture as data: six recipes for one regression, each in four steps, written as a student types them.

The text that is shown is the text that runs, over the lecture's data.

    from betahat.lecture import RECIPES
    print(RECIPES[5])                    # its loop, step by step
    print(RECIPES[5].run(epochs=100))    # from (-5, 10) to (2.4459, 4.0043)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from textwrap import indent

from betahat import errors
from betahat.lecture.notebook import Notebook, classroom, flat, nested
from betahat.lecture.texts import language, texts

HOMEWORK = """\
for _ in range(15):
    torch.nn.Linear(2, 1, bias=False)  # made and thrown away"""

# What torch would begin with, for the recipes that have no layer to ask.
DRAWN_START = "start = torch.nn.Linear(2, 1, bias=False).weight[0].tolist()"


@dataclass(frozen=True)
class Step:
    """One of the four steps: what is typed once, before the loop, and what is typed in `each` epoch."""

    each: str
    once: str = ""

    def __str__(self) -> str:
        return lines(self.once, self.each)


@dataclass(frozen=True)
class Run:
    """What one run of a recipe leaves. Weights and gradients are (intercept, coefficient of x)."""

    recipe: int
    epochs: int
    lr: float
    zero_grad: bool
    start: tuple[float, ...]  # (2,)
    weights: tuple[float, ...]  # (2,) after the last update
    gradient: tuple[float, ...] | None  # (2,) as step 3 left it in the last epoch; None after 0 epochs
    losses: tuple[float, ...]  # (epochs,) each before that epoch's update
    code: str

    def __str__(self) -> str:
        words = texts(language(None))
        said = [words["run.title"].format(recipe=self.recipe, epochs=self.epochs, lr=self.lr)]
        said += [] if self.zero_grad else [words["run.forgotten"]]
        said.append(words["run.weights"].format(start=pair(self.start), end=pair(self.weights)))
        if self.losses and self.gradient is not None:
            first, last, low, high = self.losses[0], self.losses[-1], min(self.losses), max(self.losses)
            said.append(words["run.losses"].format(first=first, last=last, low=low, high=high))
            said.append(words["run.gradient"].format(gradient=pair(self.gradient)))
            said += [] if isfinite(last) else [words["run.blown"]]
        return "\n".join(said)

    __repr__ = __str__


@dataclass(frozen=True)
class Recipe:
    """One way to write the regression: four steps, as source text that runs as it stands."""

    number: int
    en: str
    ko: str
    model: Step  # step 1: yhat
    loss: Step  # step 2
    derive: Step  # step 3
    update: Step  # step 4
    zero_grad: str
    weights: str  # the expression that shows the weights …
    gradient: str  # … and the one that shows their gradient
    start: str = ""  # sets the first weights, where the model's own line does not

    def title(self, lang: str | None = None) -> str:
        """The recipe in a few words, "ko" or "en"."""
        return self.ko if language(lang) == "ko" else self.en

    def loop(self, epochs: int = 100, zero_grad: bool = True, start: bool = True) -> str:
        """The source text of the whole loop; with start=False, a layer keeps the weights that torch gave it."""
        steps = {"predict": self.model, "loss": self.loss, "derive": self.derive, "update": self.update}
        body = [f"{step.each:<48}# {k} {verb}" for k, (verb, step) in enumerate(steps.items(), start=1)]
        body += [self.zero_grad] if zero_grad else []
        return lines(
            self.model.once,
            self.start if start else "",
            self.loss.once,
            self.update.once,
            f"for epoch in range({epochs}):",
            indent("\n".join(body), "    "),
        )

    def run(
        self,
        epochs: int = 100,
        lr: float = 0.1,
        zero_grad: bool = True,
        start: Sequence[float] | None = (-5.0, 10.0),
    ) -> Run:
        """Run the recipe's loop on the lecture's data and keep the record.

        Parameters
        ----------
        epochs : int
            How often the four steps are gone through.
        lr : float
            The learning rate; above 0.8238 the loop runs away.
        zero_grad : bool
            False leaves the line out, as in the homework: each gradient is added to the ones before.
        start : two numbers or None
            The first weights (intercept, coefficient of x). None takes what torch draws for a new layer.

        Returns
        -------
        Run
            Weights, losses, the last gradient, and `code`, the text that runs the same after `DATA`.

        Raises
        ------
        OptionError
            If epochs is not a whole number from 0 on, lr not finite, or start not two finite numbers.

        Examples
        --------
        >>> import betahat as bh
        >>> run = bh.lecture.RECIPES[5].run(epochs=100)
        >>> [round(w, 4) for w in run.weights]
        [2.4459, 4.0043]
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 0:
            raise errors.bad_number("epochs", epochs, "a whole number, 0 or more")
        if not isfinite(lr):
            raise errors.bad_number("lr", lr, "a finite number")
        if start is not None and (len(start) != 2 or not all(map(isfinite, start))):
            raise errors.bad_number("start", start, "two numbers, the intercept and the coefficient of x")
        drawn = "" if self.start else DRAWN_START
        begin = drawn if start is None else f"start = {[float(w) for w in start]}"
        settings = lines(begin, f"lr = {float(lr)}")
        with classroom():
            book = Notebook()
            book.run(lines(settings, self.loop(0, start=start is not None)))  # what comes before the loop
            first = self._read(book, self.weights)
            losses, gradient = [], None
            for _ in range(epochs):
                book.run(self.model.each)
                book.run(self.loss.each)
                losses.append(float(book.names["loss"].item()))
                book.run(self.derive.each)
                gradient = self._read(book, self.gradient)
                book.run(self.update.each)
                if zero_grad:
                    book.run(self.zero_grad)
            last = self._read(book, self.weights)
        code = lines(settings, self.loop(epochs, zero_grad, start is not None))
        return Run(self.number, epochs, float(lr), zero_grad, first, last, gradient, tuple(losses), code)

    def _read(self, book: Notebook, expression: str) -> tuple[float, ...]:
        return flat(nested(book.run(expression)))

    def __str__(self) -> str:
        return f"{self.number}. {self.title()}\n{indent(self.loop(), '    ')}"

    __repr__ = __str__


def lines(*parts: str) -> str:
    """Join pieces of code, leaving out the empty ones."""
    return "\n".join(part for part in parts if part)


def pair(numbers: Sequence[float]) -> str:
    """'(2.4459, 4.0043)': four decimals, and no minus before a zero."""
    return "(" + ", ".join(f"{number:z.4f}" for number in numbers) + ")"


RECIPES: dict[int, Recipe] = {
    recipe.number: recipe
    for recipe in (
        Recipe(
            1,
            en="a bare tensor, the mean written out",
            ko="텐서 하나, 평균은 식으로",
            model=Step("yhat = X @ What", once="What = torch.tensor(start, requires_grad=True)"),
            loss=Step("loss = torch.mean((y - yhat)**2)"),
            derive=Step("loss.backward()"),
            update=Step("What.data = What.data - lr * What.grad"),
            zero_grad="What.grad = None",
            weights="What.data",
            gradient="What.grad",
        ),
        Recipe(
            2,
            en="a layer without bias, the mean written out",
            ko="bias 없는 층, 평균은 식으로",
            model=Step("yhat = net(X)", once="net = torch.nn.Linear(2, 1, bias=False)"),
            start="net.weight.data = torch.tensor([start])",
            loss=Step("loss = torch.mean((y.reshape(n, 1) - yhat)**2)"),
            derive=Step("loss.backward()"),
            update=Step("optimizer.step()", once="optimizer = torch.optim.SGD(net.parameters(), lr=lr)"),
            zero_grad="optimizer.zero_grad()",
            weights="net.weight.data",
            gradient="net.weight.grad",
        ),
        Recipe(
            3,
            en="a layer with bias, the mean written out",
            ko="bias 있는 층, 평균은 식으로",
            model=Step("yhat = net(x.reshape(n, 1))", once="net = torch.nn.Linear(1, 1, bias=True)"),
            start="net.bias.data = torch.tensor([start[0]])\nnet.weight.data = torch.tensor([[start[1]]])",
            loss=Step("loss = torch.mean((y.reshape(n, 1) - yhat)**2)"),
            derive=Step("loss.backward()"),
            update=Step("optimizer.step()", once="optimizer = torch.optim.SGD(net.parameters(), lr=lr)"),
            zero_grad="optimizer.zero_grad()",
            weights="net.bias.data, net.weight.data",
            gradient="net.bias.grad, net.weight.grad",
        ),
        Recipe(
            4,
            en="a bare tensor, nn.MSELoss",
            ko="텐서 하나, nn.MSELoss",
            model=Step("yhat = X @ What", once="What = torch.tensor(start, requires_grad=True)"),
            loss=Step("loss = loss_fn(yhat, y)", once="loss_fn = torch.nn.MSELoss()"),
            derive=Step("loss.backward()"),
            update=Step("What.data = What.data - lr * What.grad"),
            zero_grad="What.grad = None",
            weights="What.data",
            gradient="What.grad",
        ),
        Recipe(
            5,
            en="a layer without bias, nn.MSELoss",
            ko="bias 없는 층, nn.MSELoss",
            model=Step("yhat = net(X)", once="net = torch.nn.Linear(2, 1, bias=False)"),
            start="net.weight.data = torch.tensor([start])",
            loss=Step("loss = loss_fn(yhat, y.reshape(n, 1))", once="loss_fn = torch.nn.MSELoss()"),
            derive=Step("loss.backward()"),
            update=Step("optimizer.step()", once="optimizer = torch.optim.SGD(net.parameters(), lr=lr)"),
            zero_grad="optimizer.zero_grad()",
            weights="net.weight.data",
            gradient="net.weight.grad",
        ),
        Recipe(
            6,
            en="a layer with bias, nn.MSELoss",
            ko="bias 있는 층, nn.MSELoss",
            model=Step("yhat = net(x.reshape(n, 1))", once="net = torch.nn.Linear(1, 1, bias=True)"),
            start="net.bias.data = torch.tensor([start[0]])\nnet.weight.data = torch.tensor([[start[1]]])",
            loss=Step("loss = loss_fn(yhat, y.reshape(n, 1))", once="loss_fn = torch.nn.MSELoss()"),
            derive=Step("loss.backward()"),
            update=Step("optimizer.step()", once="optimizer = torch.optim.SGD(net.parameters(), lr=lr)"),
            zero_grad="optimizer.zero_grad()",
            weights="net.bias.data, net.weight.data",
            gradient="net.bias.grad, net.weight.grad",
        ),
    )
}
