"""The lecture's English words, under the same keys as `texts_ko.py`; written, not translated."""

TEXTS: dict[str, str] = {
    "title": "The lecture, replayed · Learning a regression with PyTorch, part 2",
    "lead": """
One regression, written in six ways and learned in four steps: predict, loss, derive, update. Every number that the
lecture notebook printed has just been computed again on this machine, from scratch. The code you see is the code that
ran.

The notebook prints four decimals. A number rounded to four decimals stands for everything within 0.00005 of it, so
ours gets a ✓ inside that band and a ✗ outside. (One last place of float32 is forgiven: processors add in different
orders.)

A number such as [3] is the notebook's own cell number; [+] marks what is not in the notebook and was checked along the
way.
""",
    "score": "{agree} of {of} numbers agree with the lecture's.",
    "lecture": "lecture",
    "ours": "ours",
    "trap": "What goes wrong",
    "failed": "(On this machine the computation says otherwise!)",
    # groups ──────────────────────────────────────────────────────────────────────────────────────────────────────
    "group.data.title": "Before we start · the data",
    "group.data.why": """
We make 100 observations from a line whose intercept is 2.5 and whose slope is 4. In real work nobody tells you the
truth; while learning, it helps to know the answer, because then you can tell whether the machine found it. The column
of ones in X is there for the intercept. We start far away on purpose, at (-5,~10), with a learning rate of 0.1.
""",
    "group.predict.title": "Steps 1 and 2 · predict, then measure the loss",
    "group.predict.why": """
Step 1 turns the current weights into predictions, yhat. Step 2 boils down how wrong they are to a single number, the
loss; ours is the mean of the squared residuals.

Six recipes are not six models. You may hold the weights yourself or let nn.Linear hold them; give the intercept a
column of X or leave it to the layer's bias; write the mean out or call nn.MSELoss. It is the same line and the same
loss every time, so the six numbers had better be equal.
""",
    "group.predict.trap": """
net(X) has shape (100,~1) and y has shape (100,). Subtract one from the other without a reshape and PyTorch raises no
error: it quietly builds a 100×100 table. A loss that prints is not yet a loss that is right. Look at the shapes first.
""",
    "group.derive.title": "Step 3 · derive",
    "group.derive.why": """
loss.backward() differentiates the loss with respect to the weights and leaves the gradient in .grad. The weights
themselves do not move yet. While you computed steps 1 and 2, PyTorch was taking notes; backward() walks those notes in
reverse. We will check it against the derivative by hand, 2/n·Xᵀ(XW~−~y).
""",
    "group.derive.trap": """
calling backward() twice. The notes are thrown away after one walk, so one loss can be differentiated once. And
remember that backward() does not overwrite .grad, it adds to it. That second habit is what the homework is about.
""",
    "group.update.title": "Step 4 · update",
    "group.update.why": """
The gradient points uphill. So we take a step the other way, scaled by the learning rate: W~←~W~−~lr·gradient. That one
line is all there is to it, and it is also all that the optimizer's step() does.
""",
    "group.update.trap": """
step() computes no gradient. It uses whatever is lying in .grad. Call it twice without a backward() in between and it
takes a second step on a stale gradient, with no error to warn you. Cell 37 is exactly such a number.
""",
    "group.loop.title": "The loop · four steps, 100 times",
    "group.loop.why": """
Now put the four steps in a for loop: predict, loss, derive, update, and then throw the used gradient away. Once around
is an epoch. This time we do not choose the starting point; the layer begins with the weights that PyTorch drew for it.
""",
    "group.loop.trap": """
computing yhat or loss once, outside the loop. When the weights change, the predictions and the loss must be computed
anew. This slip at least announces itself: the second time around, backward() fails.
""",
    "group.homework.title": "Homework · what if you forget zero_grad()?",
    "group.homework.why": """
Delete one line from the loop, optimizer.zero_grad(), and run it again. It runs to the end without an error or a
warning, and the answer is nowhere near right. Why? Think about it for a minute before you read on.

The number depends on the initial weights, and those depend on how many layers drew random numbers before this one:
fifteen. So we make fifteen layers, throw them away, and begin with the sixteenth.
""",
    "group.homework.trap": """
"It ran for 100 epochs, so it must have converged." Never judge by the last weights alone. Look at the history of the
loss.
""",
    "group.behind.title": "Going deeper · what lies behind the numbers",
    "group.behind.why": """
From here on we leave the notebook. These numbers, too, were computed a moment ago.
""",
    "group.behind.trap": """
reporting trained weights as if they were the result. An estimate needs a standard error beside it, and an estimate that
came out of a loop needs a check that the loop had really arrived.
""",
    # cells ───────────────────────────────────────────────────────────────────────────────────────────────────────
    "cell.3.title": "The loss, recipe 1: a bare tensor, the mean written out",
    "cell.3.note": """
requires_grad=True asks PyTorch to take notes, because we will want a derivative with respect to this tensor. Leave it
out and step 3 has nothing to read.
""",
    "cell.4.title": "The loss, recipe 2: a layer without bias, the mean written out",
    "cell.4.note": """
nn.Linear returns a column, (100,~1), so y has to stand up as a column as well.
""",
    "cell.5.title": "The loss, recipe 3: a layer with bias, the mean written out",
    "cell.5.note": """
The bias is the intercept now, so the column of ones is gone, and x goes in as a column of its own, (100,~1).
""",
    "cell.6.title": "The loss, recipe 4: a bare tensor, nn.MSELoss",
    "cell.6.note": """
Here yhat and y are both (100,), and no reshape is needed. What matters is that the two shapes are the same.
""",
    "cell.7.title": "The loss, recipe 5: a layer without bias, nn.MSELoss",
    "cell.7.note": "",
    "cell.12.title": "The loss, recipe 6: a layer with bias, nn.MSELoss",
    "cell.12.note": """
Six times the same loss: six spellings of one model with one set of weights.
""",
    "cell.13.title": "A second backward() on recipe 1's loss",
    "cell.13.note": "",
    "cell.14.title": "The gradient, recipe 1",
    "cell.14.note": """
Negative for the intercept, positive for the slope: raise the one, lower the other. From (-5,~10) that is the way to
(2.5,~4).
""",
    "cell.16.title": "The gradient, recipe 2",
    "cell.16.note": """
Two pairs of brackets: a gradient always has the shape of its weights, and the layer keeps its weights as (1,~2).
""",
    "cell.18.title": "The gradient, recipe 3: bias, weight",
    "cell.18.note": """
The weights live in two places, so the gradient does too. The numbers are the same.
""",
    "cell.20.title": "The gradient, recipe 4",
    "cell.20.note": "",
    "cell.22.title": "The gradient, recipe 5",
    "cell.22.note": "",
    "cell.24.title": "The gradient, recipe 6: bias, weight",
    "cell.24.note": "",
    "cell.25.title": "Weights before the update, recipe 1",
    "cell.25.note": "After backward() the weights are still where they started.",
    "cell.26.title": "Weights after the update by hand, recipe 1",
    "cell.26.note": "",
    "cell.27.title": "Weights before the update, recipe 2",
    "cell.27.note": "",
    "cell.37.title": "Weights after two steps on one gradient, recipe 2",
    "cell.37.note": "",
    "cell.31.title": "Weights before the update, recipe 3: bias, weight",
    "cell.31.note": "From 37 back to 31? Cell numbers count runs, and the cell above, 37, was run after 34.",
    "cell.34.title": "Weights after the update, recipe 3: bias, weight",
    "cell.34.note": "One step() lands where the update by hand did in cell 26.",
    "cell.38.title": "Recipe 3's parameters in PyTorch's order: weight, bias",
    "cell.38.note": """
parameters() hands out the weight first and the bias last; our X had the intercept first. Read them by position and
intercept and slope trade places. named_parameters() gives the names along with the numbers.
""",
    "cell.39.title": "Weights before the update, recipe 4",
    "cell.39.note": "",
    "cell.40.title": "Weights after the update by hand, recipe 4",
    "cell.40.note": "",
    "cell.41.title": "Weights before the update, recipe 5",
    "cell.41.note": "",
    "cell.44.title": "Weights after the update, recipe 5",
    "cell.44.note": "",
    "cell.45.title": "Weights before the update, recipe 6: bias, weight",
    "cell.45.note": "",
    "cell.48.title": "Weights after the update, recipe 6: bias, weight",
    "cell.48.note": "All of them arrived at the same place, except recipe 2, which took two steps.",
    "cell.61.title": "Weights after the loop of 100 epochs, recipe 5",
    "cell.61.note": "",
    "cell.71.title": "Homework: weights after 100 epochs without zero_grad()",
    "cell.71.note": "",
    # facts, checked at run time ──────────────────────────────────────────────────────────────────────────────────
    "fact.reshape.title": "Without the reshape",
    "fact.reshape": """
Let us forget the reshape. Now y~−~yhat has shape {rows}×{columns} and its mean square is {wrong:.4f}; the right loss is
{right:.4f}. nn.MSELoss at least warns you (warnings:~{loud}). The mean written out says nothing (warnings:~{quiet}).
""",
    "fact.second_backward.title": "The gradient after the refusal",
    "fact.second_backward": """
PyTorch refuses: "{message}". The failed call left .grad alone, the same to the last bit as before. Nothing is broken;
go back to step 1 and compute the loss again.
""",
    "fact.by_hand.title": "The derivative by hand",
    "fact.by_hand": """
By hand, 2/n·Xᵀ(XW~−~y) = ({g0:.4f},~{g1:.4f}). No magic in backward(), just the derivative.
""",
    "fact.leaf.title": "Without .data",
    "fact.leaf": """
And without .data, What~=~What~−~lr·What.grad? The right side is the result of a computation and no longer a leaf
(is_leaf={leaf}), so the next backward() would not fill its .grad.
""",
    "fact.double_step.title": "What two steps amount to",
    "fact.double_step": """
One step would have led to ({one0:.4f},~{one1:.4f}). Two steps on one gradient amount to one step with twice the
learning rate, {rate:.1f}: ({two0:.4f},~{two1:.4f}).
""",
    "fact.loop.title": "How the loss came down",
    "fact.loop": """
The loss came down from {first:.4f} to {last:.4f}. If the weights miss the truth, (2.5,~4), that is not for lack of
training: 100 noisy observations do not know the truth any better. More about that below.
""",
    "fact.homework.title": "How the loss moved",
    "fact.homework": """
It started at ({s0:.4f},~{s1:.4f}), and over the 100 epochs the loss went up and down between {low:.4f} and {high:.4f}.
With zero_grad(), the same start ends at {calm:.4f}. This is neither converging nor diverging. The weights it prints are
no answer; they are a snapshot of something that keeps moving.
""",
    "fact.least_squares.title": "Least squares, with standard errors",
    "fact.least_squares": """
Least squares gets there in one go, and further. After 100 epochs the loop agrees with it to four decimals.

             100 epochs   least squares   standard error
  intercept  {w0:10.4f}   {b0:13.8f}   {se0:14.6f}
  slope      {w1:10.4f}   {b1:13.8f}   {se1:14.6f}

R² = {r2:.6f}. The true values, 2.5 and 4, lie {z0:.1f} and {z1:.1f} standard errors away, well within chance. No number
of further epochs will close that gap; only more data can.
""",
    "fact.limit.title": "The limit of the learning rate",
    "fact.limit": """
The learning rate need not be a guess. The Hessian of this loss, 2XᵀX/n, has eigenvalues {l0:.4f} and {l1:.4f}. Along an
eigenvector with eigenvalue λ, each epoch multiplies the error by (1~−~lr·λ), so the loop converges for lr below
2/λmax~=~{limit:.4f}. After 400 epochs the loss is {below:.4f} at lr 0.82, and {above:,.0f} at lr 0.83.
""",
    "fact.momentum.title": "The homework, solved: momentum 1.0",
    "fact.momentum": """
The answer to the homework. Gradients that are never thrown away pile up, and walking on the pile is SGD with momentum
1.0: the two histories of {same} losses are equal, bit for bit. Momentum 1.0 is a marble in a bowl without friction. It
runs through the bottom, up the other side, and back, forever.
""",
    "fact.orbit.title": "The marble in orbit",
    "fact.orbit": """
From (-5,~10) it is the same story: over 100 epochs the loss swings between {low:.4f} and {high:.4f}. Here is why. Along
an eigenvector with eigenvalue λ, the next error is (2~−~lr·λ)×(this error)~−~(the one before). As long as lr·λ is below
4, the two roots of that recursion have modulus exactly 1, so the errors neither shrink nor grow.

Only a learning rate above 4/λmax~=~{limit:.4f} throws the marble out of the bowl. The highest loss within 100 epochs is
{calm:,.0f} at lr 1.64, and {wild:.1e} at lr 1.66.
""",
    # what one run of a recipe says ───────────────────────────────────────────────────────────────────────────────
    "run.title": "Recipe {recipe} · {epochs} epochs · learning rate {lr:g}",
    "run.forgotten": "  without zero_grad(): gradients pile up",
    "run.weights": "  weights   {start} → {end}",
    "run.losses": "  loss      {first:.4f} → {last:.4f}   (lowest {low:.4f}, highest {high:.4f})",
    "run.gradient": "  gradient  {gradient}   (last epoch)",
    "run.blown": "  The loss is no longer a finite number; try a smaller learning rate.",
}
