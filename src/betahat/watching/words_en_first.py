"""The letters of `watch` in English, of the rules that look closely at the first passes."""

from betahat.watching import words_en_second

_NOTHING = "nothing is learned: the weights stay what they were"

LETTERS = {
    "stepped-by-two": (
        "{optimizer}.step() at {place0} has used, {times} times in a row, the gradients that another optimizer has "
        "just "
        "used: both hold {names}.",
        "these weights are moved twice by one gradient, and the parameters that were meant for the second optimizer "
        "are moved by nobody",
        "{optimizer} = torch.optim.{class}(other_model.parameters(), …)  # each parameter in one optimizer",
    ),
    "gradients-thrown-away": (
        "A step of {optimizer} at {place1} takes {portion} backward passes, but {times} times so far {lost} of them "
        "(made at {place0}) were cleared before a step came.",
        "the last batches before each clearing are computed and never used",
        "clear after each step and nowhere else; after the last batch of an epoch step once more",
    ),
    "gradients-left-over": (
        "A step takes {portion} backward passes, and at the end {lost} of them (made at {place0}) wait for a step that "
        "did not come.",
        "the last batches were computed and not used",
        "if (i + 1) % k == 0 or i + 1 == len(loader): optimizer.step()",
    ),
    "pass-from-elsewhere": (
        "One step took the sum of two backward passes, those of {place0} and of {place1}; all others took one.",
        "a pass before the loop, or between two of them, has left its gradient, and the next step follows it as well",
        "{optimizer}.zero_grad()  # before the loop begins, or before each backward()",
    ),
    "accumulated-as-a-sum": (
        "{optimizer}.step() at {place1} takes the sum of {portion} backward passes from {place0}, and none was divided "
        "by their number.",
        "if each loss is a mean, the gradient is {portion} times that of the whole batch, and so is the step",
        "(loss / {portion}).backward()  # if the mean was meant",
    ),
    "no-update, optimizer": (
        "{times} backward passes have written into {names} (at {place0}), and the optimizer that holds them has never "
        "stepped.",
        _NOTHING,
        "optimizer.step()  # after backward(), in each pass",
    ),
    "gradients-thrown-away, passes": (
        "{times} backward passes so far were thrown away whole, beside {steps} steps of {optimizer} at {place1}: their "
        "gradients were cleared before anything had used them (the one that is used is made at {place0}).",
        "a part of the loss, or of the batches, is computed and never learned from",
        "{optimizer}.zero_grad()  # once for each step, before the first of its backward passes",
    ),
    "closure-does-not-clear, steps": (
        "The closure of {optimizer}.step(closure) at {place1} adds its gradient (at {place0}) to the one that the step "
        "before has used: {names}.",
        "each step follows the sum of all gradients so far",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss",
    ),
    "closure-does-not-clear, outside": (
        "The closure of {optimizer}.step(closure) at {place1} adds its gradient (at {place0}) to one that was made "
        "before the step and not used: {names}.",
        "the gradient counts twice: once from outside the closure and once from inside",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss  # and no backward() outside",
    ),
    "closure-without-backward": (
        "{optimizer}.step(closure) at {place0} has called its closure {times} times, and the closure made no gradient.",
        "the optimizer asks its closure for the loss and the gradient at each place that it tries: it gets old ones",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss",
    ),
    "stepped-twice, by hand": (
        "In each of the last passes the weights {names} were moved twice by one and the same gradient (that of "
        "backward() at {place0}).",
        "the rate is twice what you gave",
        "leave out one of the two updates",
    ),
    "no-slope, asleep": (
        "In {steps} steps in a row every gradient was exactly zero, while the loss at {place0} is {value}: a {kind} "
        "layer of shape {shape} gives nothing but its limit.",
        "nothing is learned: behind an activation at its limit there is no slope",
        "no activation after the last layer; smaller inputs (standardize the columns of X) and smaller first weights",
    ),
    "units-dead": (
        "In {times} passes in a row a {kind} layer of shape {shape} gave nothing but its limit, for every row and "
        "every unit (the loss is that at {place0}).",
        "nothing before this layer is learned: there is no slope behind it",
        "smaller first weights and biases, standardized inputs, or nn.LeakyReLU()",
    ),
    "units-identical": (
        "After {steps} steps of {optimizer} at {place1} all {units} rows of {names} are the same to the last bit.",
        "units that begin alike get the same gradient and stay alike: the layer is as good as a single unit",
        "nn.init.kaiming_uniform_(layer.weight)  # random, not constant",
    ),
    "clipped-without-effect": (
        "The clip at {place0} has met, {times} times in a row, gradients that a step had used already, and the next "
        "step uses others.",
        "no gradient is ever clipped: it is the right call in the wrong place",
        "loss.backward(); nn.utils.clip_grad_norm_(model.parameters(), {bound}); optimizer.step()",
    ),
    "clipped-without-effect, none": (
        "The clip at {place0} was given {found} parameters, and {times} times in a row none of them had a gradient "
        "that a step would still use.",
        "no gradient is ever clipped: the clip comes before backward(), or it is given other parameters",
        "loss.backward(); nn.utils.clip_grad_norm_(model.parameters(), {bound}); optimizer.step()",
    ),
    "clipped-without-effect, no parameters": (
        "The clip at {place0} was given no parameters, {times} times in a row: a generator gives its elements once.",
        "no gradient is ever clipped",
        "parameters = list(model.parameters())  # or model.parameters() anew in each call",
    ),
    "clipped-half-way": (
        "The clip at {place0} is made before all is added up: backward() at {place1} goes on adding to {names}, and "
        "the step takes the sum.",
        "the first passes are scaled again and again, and the sum is not bounded",
        "clip once, after the last backward() and before step()",
    ),
    "clipped-before-unscale": (
        "The clip at {place0} meets gradients that are still multiplied by the scale of the GradScaler (backward() at "
        "{place1}); its bound is {bound}.",
        "the bound is thousands of times too small: each step is cut down to next to nothing",
        "scaler.unscale_(optimizer)  # before the clip",
    ),
    "stepped-while-scaled": (
        "Step {step} of {optimizer} at {place1} uses gradients of a scaled loss (backward() at {place0}) that were "
        "not divided by the scale.",
        "each step is thousands of times too long",
        "scaler.step({optimizer}); scaler.update()  # instead of {optimizer}.step()",
    ),
    "part-cut-off": (
        "The loss at {place0} contains a term that depends on the weights but has no gradient: it is cut off by {by} "
        "at {place1}.",
        "the term changes the number that is printed, and nothing that is learned",
        "loss = first + second  # both of them tensors with their graph: no .item(), .detach(), .data or no_grad()",
    ),
    "network-cut-off": (
        "{count} of the {of} parameters that {optimizer} holds go into the loss at {place0}, but no gradient has ever "
        "come back to them: {names}. The way is cut by {by} at {place1}.",
        "this part of the model keeps its first weights for ever",
        "leave out {by} on the way from these weights to the loss: no .detach(), .data, .numpy() or torch.tensor(…)",
    ),
    "network-cut-off, empty": (
        "In all {times} steps of {optimizer} at {place1} so far none of its parameters has had a gradient: {names}. "
        "backward() at {place0} reaches the weights of other optimizers only.",
        "this network keeps its first weights for ever",
        "leave out .detach() and no_grad() where this network's output goes into its own loss",
    ),
    "prediction-computed-once": (
        "The loss at {place0} is new, but it goes back through a part of the graph that backward number {before} went "
        "through, and {names} have changed since.",
        "the prediction was computed once, outside the loop: the gradient is that of weights that are no longer there",
        "yhat = model(x)  # inside the loop, each time",
    ),
    "stepped-before-backward": (
        "{names} were changed by a step after the loss at {place0} had been computed, and before its backward().",
        "the gradient belongs to weights that are no longer there, and each step uses that of the batch before",
        "optimizer.zero_grad(); loss.backward(); optimizer.step()  # in this order, after the loss",
    ),
    "losses-pile-up": (
        "The loss at {place0} contains the losses of earlier passes: backward goes once more through the graph of pass "
        "{before}.",
        "old losses are counted again in each pass, with the gradients of weights that are no longer there, and the "
        "graph grows without end",
        "total += loss.item()  # for the record; and loss.backward() on the new loss alone",
    ),
    "backward-weighted-by-loss": (
        "backward() at {place0} was given the loss itself ({value}) as its gradient.",
        "each gradient is multiplied by the loss: steps are too long at first, and vanish as the loss falls",
        "loss.backward()",
    ),
    "rows-compared-with-all, metric": (
        "At {place0} {prediction} meets {response}: a {n} × {n} table, each row with every other, in a number that is "
        "only looked at.",
        "the number says nothing of how well predictions and responses agree",
        "y = y.reshape(yhat.shape)  # before they are compared",
    ),
    "softmax-over-one": (
        "The loss at {place0} takes a softmax over one column: of shape ({rows}, {columns}) with one unit in each row.",
        "a softmax over one unit is always 1, and its logarithm 0, whatever the unit says: there is no slope",
        "one unit: F.binary_cross_entropy_with_logits(z, y); or two units and F.cross_entropy(z, y)",
    ),
    "softmax-over-rows": (
        "The loss at {place0} takes a softmax over the {rows} rows of a ({rows}, {columns}) tensor, not over its "
        "{columns} columns.",
        "the rows of a batch compete with each other, and the probabilities of one row's classes do not sum to 1",
        "F.log_softmax(z, dim=1)",
    ),
    "nll-of-scores": (
        "The loss at {place0} takes logarithms of probabilities, but was given numbers above zero.",
        "a logarithm of a probability is never above zero: the loss falls without end and means nothing",
        "F.cross_entropy(z, y)  # or F.nll_loss(F.log_softmax(z, dim=1), y)",
    ),
    "parameters-left-out": (
        "{count} parameters get a gradient in each pass (backward() at {place1}), but no optimizer has them: {names}. "
        "{optimizer} at {place0} has {of} others.",
        "they keep their first weights for ever; if that is meant, requires_grad_(False) says so and saves time",
        "{optimizer} = torch.optim.{class}(model.parameters(), …)  # all of them, of every network",
    ),
    "rate-too-small": (
        "In {steps} steps {optimizer} at {place0} has moved its weights by {share} of their length; its rate is "
        "{rate}, and the loss went from {then} to {now}.",
        "at this rate nothing will be learned in any time",
        "lr=…  # larger: ten times as large, until the loss falls",
    ),
    "parameters-left-out, lately": (
        "{count} parameters get a gradient (backward() at {place1}) since a while after the training began, and no "
        "optimizer has them: {names}. {optimizer} at {place0} has {of} others.",
        "they were unfrozen or added, but nobody moves them",
        "{optimizer}.add_param_group({{'params': new_parameters}})",
    ),
    "rate-too-small, by hand": (
        "{steps} updates by hand should have changed the loss by {gain} of itself, all together (backward() at "
        "{place0}): it went from {then} to {now}.",
        "at this rate nothing will be learned in any time",
        "lr = …  # larger: ten times as large, until the loss falls; if it grows then, scale the columns of X",
    ),
    "rate-collapsed, by hand": (
        "The rate of {optimizer} at {place1} has fallen from {largest} to {rate} within {steps} steps. The last "
        "{times} "
        "steps were made at less than a thousandth of the rate.",
        "the training has stopped, although its gradients are as strong as before",
        "lower the rate once for each epoch, not for each batch; or more slowly",
    ),
    "steps-uphill": (
        "The loss has grown in each of the last {steps} steps, from {first} to {last}, and the weights move along the "
        "gradient, not against it (backward() at {place0}).",
        "a loss is made small by steps against its gradient; if this is a likelihood, all is well",
        "W -= lr * W.grad",
    ),
    "evaluated-in-training-mode": (
        "At {place0} a dropout is active in a prediction without gradients: the model ({model}) is in training mode.",
        "a validation in training mode is random; if the spread of predictions was meant, all is well",
        "model.eval()  # before the validation, and model.train() after it",
    ),
    "rate-over-limit, by hand": (
        "The loss has grown in each of the last {steps} passes, from {first} to {last} (backward() at {place0}). From "
        "the curvature along the updates, the largest rate that can converge is {limit}; yours is {lr}.",
        "above the limit 2/λ each step leads farther from the minimum than the last",
        "lr = {safe}  # half of the limit; or scale the columns of X",
    ),
    "rate-zero": (
        "The last {times} steps of {optimizer} at {place0} were made with a rate of exactly 0.",
        _NOTHING,
        "lr=…  # larger than zero",
    ),
    "rate-zero, scheduled": (
        "The last {times} steps of {optimizer} at {place0} were made with a rate of exactly 0, as {kind} has set it "
        "(it steps at {place1}).",
        _NOTHING,
        "lr_lambda=lambda step: min(1, (step + 1) / warmup)  # a factor above zero, and / instead of //",
    ),
    "rate-collapsed": (
        "The rate of {optimizer} at {place1} has fallen from {largest} to {rate} within {steps} steps: {kind} at "
        "{place0} has stepped {often} times. The last {times} steps were made at less than a thousandth of the rate.",
        "the training has stopped, although its gradients are as strong as before",
        "scheduler.step()  # once for each epoch, not for each batch; or a slower schedule",
    ),
    "update-lost-to-rounding": (
        "In the first {steps} steps of {optimizer} at {place0}, {share} % of the weights that had a gradient did not "
        "change by a single bit: {names}, at a rate of {rate}.",
        "each step is smaller than the last digit of a weight, and is rounded away",
        "lr=…  # larger",
    ),
    "update-lost-to-rounding, short": (
        "In the first {steps} steps of {optimizer} at {place0}, {share} % of the weights that had a gradient did not "
        "change by a single bit: {names} are {dtype}.",
        "{dtype} keeps two or three digits: a step smaller than that is rounded away",
        "model.float()  # weights in float32, and torch.autocast for the forward pass",
    ),
    "scheduler-never-stepped": (
        "{kind} (made at {place0}) has never stepped, while its optimizer made {times} steps at {place1}; the rate is "
        "still {rate}.",
        "the schedule has no effect",
        "scheduler.step()  # after the optimizer's steps of each epoch, or of each batch",
    ),
    "scheduler-instead-of-optimizer": (
        "{kind} at {place0} has stepped {times} times, there were {backwards} backward passes, and its optimizer has "
        "never stepped.",
        _NOTHING,
        "optimizer.step(); scheduler.step()  # both",
    ),
    "scheduler-of-another-optimizer": (
        "{kind} at {place0} steps (made at {place1}), but its optimizer does not: another one moves the same "
        "parameters.",
        "the rate that is scheduled is one that nobody uses",
        "scheduler = {kind}(optimizer, …)  # made over the optimizer that steps, after it",
    ),
    "scheduler-before-optimizer": (
        "{kind} at {place0} steps before the optimizer does.",
        "the first rate of the schedule is never used, and each later one comes a step too early",
        "optimizer.step(); scheduler.step()  # in this order",
    ),
    "scheduler-out-of-step": (
        "{kind} at {place0} was made for {total} steps and has made {times}, while its optimizer made {steps}.",
        "the schedule is stepped for each epoch, but was laid out for batches: the rate never leaves its beginning",
        "scheduler.step()  # after each optimizer.step()",
    ),
    "parameter-made-anew, in forward": (
        "{layer} is made at {place0} within the forward pass of {outer}, anew in each of the last {times} passes, and "
        "the loss depends on it.",
        "it is random in every pass, no optimizer has it, and nothing that is learned of it is kept",
        "self.layer = …  # in __init__, not in forward",
    ),
    "layer-made-late": (
        "{layer} was made at {place0} within a forward pass of {outer}; it gets gradients, and {optimizer} (at "
        "{place1}), which was made before, does not have it: {names}.",
        "this layer keeps its random weights for ever",
        "make the layer in __init__, or send one batch through the model before the optimizer is made",
    ),
} | words_en_second.LETTERS
