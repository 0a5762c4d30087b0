"""The letters of `watch` in English: for each finding what was seen, why it matters, and the line that mends it."""

from betahat.watching import words_en_first, words_en_given

SOMEWHERE = "a place that is not in your code"
AND_MORE = "{names} and {rest} more"
LOOKED = "Watched {backwards} backward passes and {updates} updates."
BROKEN = (
    "The rule '{rule}' failed by itself ({problem}) and is asked no more; your loop was not touched.",
    "what this rule looks for is not seen in this run",
    "report it, with the loop if you can",
)

LETTERS = {
    "gradient-not-cleared": (
        "Step {step} of {optimizer} at {place1} uses a gradient that was not cleared: backward() at {place0} added to "
        "what the step before had used already, in {names}.",
        "each step follows the sum of all gradients so far: with plain descent that is momentum 1.0, which runs past "
        "the minimum and circles it for ever",
        "{optimizer}.zero_grad()  # once for each step, before backward()",
    ),
    "gradient-not-cleared-by-hand": (
        "backward() at {place0} adds to a gradient by which {names} was changed already.",
        "every old gradient is used again in every update: this is descent with momentum 1.0, which runs past the "
        "minimum and circles it for ever",
        "W.grad = None  # after each update, for every weight W",
    ),
    "stepped-twice": (
        "Step {step} of {optimizer} at {place1} uses the very gradient that its step before has used: there was no "
        "backward() between the two (the last is at {place0}).",
        "the same gradient is applied twice: the rate is twice what you gave, and an optimizer with a memory counts "
        "one batch as two",
        "leave out one of the two steps",
    ),
    "cleared-before-use": (
        "The last {times} steps of {optimizer} at {place1} found no gradient: what backward() at {place0} writes into "
        "{names} is cleared before the step comes.",
        "nothing is learned: the weights stay what they were",
        "{optimizer}.zero_grad(); loss.backward(); {optimizer}.step()  # in this order",
    ),
    "loss-cut-off": (
        "The loss at {place0} is a tensor without a past (made by torch.tensor(…), .item(), .data or .detach()), so "
        "backward() ends where it begins, and {optimizer}.step() at {place1} finds no gradient.",
        "nothing is learned: the weights stay what they were",
        "loss = criterion(model(x), y)  # and call backward() on this very tensor",
    ),
    "foreign-parameters": (
        "None of the {count} tensors that {optimizer} owns has had a gradient in {times} steps (at {place1}), while "
        "backward() at {place0} writes into {names}, which no optimizer owns.",
        "the optimizer holds the parameters of another model, or of this one before they were replaced: what is "
        "trained is not what the loss depends on",
        "{optimizer} = torch.optim.{class}(model.parameters(), …)  # made after the model is complete",
    ),
    "loss-computed-once": (
        "backward() at {place0} goes through the graph that backward number {before} went through, although the "
        "weights have changed since.",
        "prediction and loss were computed once, outside the loop: the gradient is that of weights that are no "
        "longer there",
        "yhat = model(x); loss = criterion(yhat, y)  # inside the loop, each time",
    ),
    "backward-twice": (
        "backward() at {place0} goes through the very graph that it has just been through.",
        "the same gradient is added a second time: the rate is twice what you gave",
        "loss.backward()  # once for each loss",
    ),
    "rows-compared-with-all": (
        "The loss at {place0} sets {prediction} against {response}: a {n} × {n} table, each row with every other.",
        "the best such a model can do is to predict the same for everyone",
        "y = y.reshape(yhat.shape)  # before the loss; weights likewise",
    ),
    "rows-compared-with-all, squares": (
        "The loss at {place0} compares {prediction} with {response}: a {n} × {n} table, each prediction with every "
        "response. This loss says {value}; the mean of squares of the rows that belong together is {matched}.",
        "the best such a model can do is to predict the mean for everyone",
        "y = y.reshape(yhat.shape)  # before the loss",
    ),
    "layer-replaced": (
        "{count} of the {of} tensors that {optimizer} owns have never had a gradient (it steps at {place1}), while "
        "backward() at {place0} writes into others of the same kind, which no optimizer owns: {names}.",
        "a layer was replaced after the optimizer was made: the old one is stepped, and the new one keeps "
        "its first weights",
        "{optimizer} = torch.optim.{class}(model.parameters(), …)  # made after the model is complete",
    ),
    "loss-not-finite, by hand": (
        "The last losses at {place0} are no numbers ({value}), and the weights go on being updated by hand.",
        "no weight is a number any more",
        "stop at the first loss that is not finite; try a tenth of the rate, and look for log(0), 0/0 and overflow",
    ),
    "closure-does-not-clear": (
        "{optimizer}.step(closure) at {place1} has called the closure {times} times, and its backward() at {place0} "
        "adds to the gradient that the call before has left.",
        "only the first gradient is right: the others are sums of gradients at several places",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss",
    ),
    "loss-not-finite": (
        "The loss at {place0} is {value}, and step {step} of {optimizer} at {place1} uses its gradient.",
        "from here on no weight is a number",
        "stop at the first loss that is not finite; try a tenth of the rate, and look for log(0), 0/0 and overflow",
    ),
    "rate-over-limit": (
        "The loss has grown in each of the last {steps} steps, from {first} to {last}. From the curvature along them, "
        "the largest rate that can converge is {limit}; {optimizer} has {lr} (at {place0}, momentum {momentum}).",
        "above the limit 2 (1 + momentum)/λ each step leads farther from the minimum than the last",
        "lr={safe}  # half of the limit; or scale the columns of X",
    ),
    "no-update": (
        "There were {times} backward passes into {names} (the first one at {place0}), and no update: no optimizer has "
        "stepped, and no weight has changed.",
        "nothing is learned: gradients are made and never used",
        "optimizer.step()  # after backward()",
    ),
    "squashed-twice": (
        "The loss at {place0} puts {inner} inside {outer}.",
        "no class can come near probability one, so that the loss has a floor, and gradients are small",
        "{mended}  # with the scores z themselves, without {inner}",
    ),
    "layers-hidden": (
        "{owner}.{attribute} is a plain {kind} with {count} layers in it. The loss at {place0} depends on them, but "
        "{owner}.parameters() does not know them, and no optimizer has them.",
        "these layers keep their random weights for ever, and are missing in state_dict() and on another device",
        "self.{attribute} = nn.ModuleList([…])  # or nn.ModuleDict",
    ),
    "parameter-made-anew": (
        "In the last {times} backward passes looked at, the loss at {place0} depended on an nn.Parameter that was not "
        "there before: it is made anew each time, and no optimizer has it.",
        "it is random in every pass, and nothing that is learned of it is kept",
        "self.W = nn.Parameter(…)  # in __init__, not in forward",
    ),
    "trained-in-eval-mode": (
        "backward() at {place0} goes through {model}, which is in evaluation mode, and was in training mode before. It "
        "has {kinds}.",
        "model.eval() was called for a validation and never taken back: dropout is off, and running means stand still",
        "{model}.train()  # at the beginning of each epoch",
    ),
    "no-slope": (
        "In all {steps} steps so far every gradient was exactly zero, in {names}, while the loss at {place0} "
        "is {value}.",
        "nothing is learned: the output is constant, as after a ReLU below zero or a softmax over one column",
        "no activation after the last layer; or start from other weights",
    ),
    "optimizer-made-anew": (
        "This is {class} number {makes} over the same parameters (it steps at {place0}).",
        "momentum and the running means of gradients begin from nothing each time",
        "optimizer = torch.optim.{class}(model.parameters(), …)  # once, before the loop",
    ),
    "state-is-a-reference": (
        "load_state_dict() at {place0} is given {count} tensors that are the model's own: they have changed with it "
        "since they were put aside.",
        "state_dict() returns references, not copies: the best weights are lost, and the last ones are put back",
        "best = copy.deepcopy(model.state_dict())",
    ),
} | words_en_first.LETTERS
LETTERS |= words_en_given.LETTERS
