"""More letters of `watch` in English."""

LETTERS = {
    "gradients-vanish": (
        "In {times} steps in a row of {optimizer} at {place1} the first layers got next to no gradient from backward() "
        "at {place0}: {count} of {of} matrices, {names}. Per number it is {least} there, and {most} where it is "
        "strongest.",
        "each layer multiplies the gradient by the slope of its activation, at most 1/4 for a sigmoid: after many of "
        "them nothing is left, and the first layers stay as they were drawn",
        "nn.ReLU() instead of nn.Sigmoid(); or h = h + layer(h), nn.BatchNorm1d between the layers",
    ),
    "trained-in-eval-mode, always": (
        "backward() at {place0} goes through {model}, which has been in evaluation mode from the beginning. It has "
        "{kinds}.",
        "dropout is off, and batch norms use means that they have never taken",
        "{model}.train()  # before the training begins",
    ),
    "foreign-parameters, used": (
        "The last {times} steps of {optimizer} at {place1} found no new gradient in its {count} tensors, while "
        "backward() at {place0} writes into {names}, which no optimizer owns.",
        "the optimizer still holds the parameters of the model that was there before, as after a checkpoint was loaded "
        "into a new model: what is trained is not what the loss depends on",
        "{optimizer} = torch.optim.{class}(model.parameters(), …)  # after the new model, then load its state",
    ),
    "validation-trains": (
        "The step of {optimizer} at {place1} takes gradients of which a part was made at {place0} while the model was "
        "in evaluation mode.",
        "the rows that should judge the model are used to train it",
        "with torch.no_grad(): …  # around the validation, and no backward() in it",
    ),
    "validation-trains, steps": (
        "{optimizer} at {place1} made {times} steps in evaluation mode, on batches of another loader, before the "
        "training went on (backward() at {place0}).",
        "the rows that should judge the model are used to train it",
        "with torch.no_grad(): …  # around the validation, without backward() and step()",
    ),
    "dropout-in-evaluation": (
        "At {place0} a dropout is active although the model ({model}) is in evaluation mode.",
        "F.dropout is active unless it is told otherwise, and a dropout that is made in forward begins in training "
        "mode: predictions are random",
        "F.dropout(x, p, training=self.training)  # or self.dropout = nn.Dropout(p) in __init__",
    ),
    "state-is-a-reference, copied": (
        "At {place0} weights are copied into themselves ({count} tensors): what was put aside is the model's own.",
        "state_dict(), .data and .detach() are references, not copies: what was put aside has changed with the model",
        "best = copy.deepcopy(model.state_dict())",
    ),
    "state-is-a-reference, saved": (
        "The state that is saved at {place0} was taken earlier, and the model has been trained since: the state has "
        "changed with it.",
        "state_dict() returns references, not copies: the last weights are saved, not those of that time",
        "best = copy.deepcopy(model.state_dict())",
    ),
    "state-is-a-reference, gathered": (
        "At {place0} {name} holds {count} states of one model, the first taken after {first} updates and the last "
        "after {last}: all of them are the model's own tensors, so that they are all the same.",
        "state_dict() returns references, not copies: whatever is made of them, a mean or the best one, is the last "
        "weights once more",
        "state = copy.deepcopy(model.state_dict())  # before it goes into {name}",
    ),
    "no-update, rebound": (
        "{times} backward passes (at {place1}) have written into {names}, and none of them has changed: what is "
        "computed from weight and gradient at {place0} only gives a variable another value.",
        "nothing is learned: p = p - lr * p.grad makes a new tensor, and the model keeps the old one",
        "p -= lr * p.grad  # in place, within torch.no_grad()",
    ),
    "state-is-a-reference, averaged": (
        "After {times} passes {names} was averaged with itself at {place0}: the slow copy and the model are one and "
        "the same tensors.",
        "another name for a model is no copy of it: the average is the model itself, and what compares the two "
        "compares the model with itself",
        "teacher = copy.deepcopy(student)  # before the optimizer's first step",
    ),
    "state-not-loaded, removed": (
        "At {place0} load_state_dict(…, strict=False) has loaded nothing: the state has {count} tensors, as "
        "{given!r}, the model has {of} parameters, as {asked!r}, and not one name is on both sides.",
        "the model keeps the weights that it had: whatever was trained before is not there",
        "model.load_state_dict({{k.removeprefix({prefix!r}): v for k, v in state.items()}})  # and no strict=False",
    ),
    "state-not-loaded, added": (
        "At {place0} load_state_dict(…, strict=False) has loaded nothing: the state has {count} tensors, as "
        "{given!r}, the model has {of} parameters, as {asked!r}, and not one name is on both sides.",
        "the model keeps the weights that it had: whatever was trained before is not there",
        "model.load_state_dict({{{prefix!r} + k: v for k, v in state.items()}})  # and no strict=False",
    ),
    "state-not-loaded, other": (
        "At {place0} load_state_dict(…, strict=False) has loaded nothing: the state has {count} tensors, as "
        "{given!r}, the model has {of} parameters, as {asked!r}, and not one name is on both sides.",
        "the model keeps the weights that it had: whatever was trained before is not there",
        "model.load_state_dict(state)  # without strict=False: torch then says which names do not fit",
    ),
    "one-batch-only": (
        "{times} times in a row the loader at {place0} was begun anew for one step and gave its first batch: one of "
        "{length}.",
        "the model is trained on the first batch alone",
        "for xb, yb in loader:  # or it = iter(loader), once for each epoch",
    ),
    "one-batch-only, looked at": (
        "{times} times in a row the loader at {place0} was begun anew and gave its first batch only: one of {length}.",
        "what is computed from it is always computed from the same rows",
        "for xb, yb in loader:  # all batches",
    ),
    "one-batch-only, shuffled": (
        "{times} times in a row the loader at {place0} was begun anew and gave one batch: one of {length}.",
        "each iterator shuffles anew, so that some rows come often and others never",
        "for xb, yb in loader:  # or it = iter(loader), once for each epoch",
    ),
    "iterator-exhausted": (
        "The iterator at {place0} has given its {given} batches and is asked again: it has no more.",
        "a loop over it has nothing to do: later epochs pass without a step",
        "for xb, yb in loader:  # the loader itself, which begins anew in each epoch",
    ),
    "iterator-exhausted, scheduled": (
        "{kind} at {place0} has stepped {times} more times, with the model put into its modes each time, and without a "
        "backward pass or a step since: the {steps} steps at {place1} were all.",
        "the loop over the batches has nothing to do any more: map(), zip(), a generator and iter(loader) give what "
        "they have once, and later epochs pass without a step",
        "batches = list(…)  # or make the iterator anew in each epoch",
    ),
    "values-truncated": (
        "Numbers are cast to {to} at {place0}, which cuts off their fractions (the first: {how}), and meet "
        "predictions in the loss at {place1}.",
        "the model learns the numbers without their fractions",
        "y = y.float()  # whole numbers are for labels and positions",
    ),
    "generator-exhausted": (
        "The weights {names} changed in the first {times} passes and in none since (backward() at {place0}): "
        "{generator} is a generator that has ended.",
        "a generator gives its elements once: from the second pass on a loop over it does nothing",
        "{generator} = list(model.parameters())",
    ),
    "loss-not-finite, made": (
        "The loss at {place0} is {value}, and step {step} of {optimizer} at {place1} uses its gradient. The first "
        "value that is no number was made by {by} at {place2}, from numbers.",
        "from here on no weight is a number",
        "keep the argument of {by} inside its domain (clamp, add eps, log_softmax, logsumexp); stop when a loss is not "
        "finite",
    ),
    "loss-not-finite, weight": (
        "The loss at {place0} is {value}, and step {step} of {optimizer} at {place1} uses its gradient. The weights "
        "themselves were no numbers before: they met {by} at {place2}.",
        "an earlier step has gone to infinity: no weight is a number any more",
        "try a tenth of the rate, or clip the gradients before the step",
    ),
    "loss-not-finite, input": (
        "The loss at {place0} is {value}, and step {step} of {optimizer} at {place1} uses its gradient. The data "
        "contained values that are no numbers before they met {by} at {place2}.",
        "from here on no weight is a number",
        "assert X.isfinite().all()  # before training; a constant column has no standard deviation to divide by",
    ),
    "gradient-not-finite": (
        "Step {step} of {optimizer} at {place1} uses a gradient that is no number in {names}, while the loss at "
        "{place0} is {value}: at {place2} {by} has an infinite slope or makes a value that is none.",
        "from here on no weight is a number",
        "torch.sqrt(x + 1e-8)  # keep the argument of {by} away from the edge of its domain",
    ),
    "gradient-not-finite, somewhere": (
        "Step {step} of {optimizer} at {place1} uses a gradient that is no number in {names}, while the loss at "
        "{place0} is {value}.",
        "from here on no weight is a number",
        "look for sqrt(0), norm(0), 0/0 and where(…, log(0)) on the way; torch.autograd.detect_anomaly() names the "
        "line",
    ),
    "parameter-not-registered": (
        "{owner}.{attribute} is a plain tensor {shape} with requires_grad, and no parameter of {owner}: the loss at "
        "{place0} has sent it {times} gradients, and no optimizer has it.",
        "it keeps its first value for ever, and is missing in parameters(), in state_dict() and on another device",
        "self.{attribute} = nn.Parameter(…)  # in __init__; with requires_grad=False if it is to stand still",
    ),
    "trained-in-eval-mode, flag": (
        "backward() at {place0} goes through {model}, whose own flag says training, while every layer in it is in "
        "evaluation mode. It has {kinds}.",
        "{model}.training = True sets one flag and reaches no layer: dropout is off, and running means stand still",
        "{model}.train()  # reaches all layers",
    ),
    "state-is-a-reference, itself": (
        "load_state_dict() at {place0} gives the model the state that it has: {one} and {other} are two names of one "
        "model.",
        "an assignment copies nothing: the best model is the last one, and nothing is put back",
        "best = copy.deepcopy(model)  # where the best one is found",
    ),
    "scheduler-out-of-step, batches": (
        "{kind} at {place0} goes down for T_max={half} steps and then up again. The loader was gone through {half} "
        "times, in {length} batches each, and the schedule has made {times} steps, one for each batch.",
        "the schedule is laid out for epochs, but stepped for batches: the rate swings up and down all the time",
        "scheduler.step()  # once, after each epoch; or T_max=epochs * len(loader)",
    ),
    "scheduler-upside-down": (
        "{kind}(mode='{mode}') at {place0} is told the loss that backward() makes small (lately {value}).",
        "it waits for the loss to grow: as long as all goes well it sees no improvement, and cuts the rate",
        "scheduler = torch.optim.lr_scheduler.{kind}(optimizer, mode='{right}')  # 'max' is for scores",
    ),
    "scheduler-upside-down, negative": (
        "{kind}(mode='{mode}') at {place0} is told the negative of the loss that backward() makes small (lately "
        "{value}).",
        "it waits for that number to fall: as long as all goes well it sees no improvement, and cuts the rate",
        "scheduler = torch.optim.lr_scheduler.{kind}(optimizer, mode='{right}')  # or give it the loss itself",
    ),
    "compared-with-itself": (
        "{loss} at {place0} was given one and the same numbers twice, in {times} calls in a row and in no other.",
        "this loss, or the distance in it, is zero whatever the model says: it teaches nothing",
        "check the names that {loss} is given: the target, the teacher's output or the positive example belongs there",
    ),
    "loss-not-scaled": (
        "Step {step} of {optimizer} at {place1} is made by a GradScaler, which divides the gradients by its scale, but "
        "backward() at {place0} began at the loss before it was multiplied by that.",
        "each step is thousands of times too short",
        "scaler.scale(loss).backward()  # the tensor that scale() returns",
    ),
    "closure-returns-another": (
        "Within one step of {optimizer} at {place1} the closure returned {value} in {times} calls in a row, while the "
        "losses from which its backward() at {place0} began went from {first} to {last}.",
        "the optimizer judges each trial by what the closure returns: a line search that is told the same number each "
        "time goes astray or stops",
        "def closure(): {optimizer}.zero_grad(); loss = …; loss.backward(); return loss  # the loss of this very call",
    ),
    "graph-kept": (
        "The sum at {place0} holds losses with their graphs, from {times} different states of the weights so far, and "
        "backward() never goes through it.",
        "each loss keeps all activations of its pass alive: the memory grows with every step until none is left",
        "running_loss += loss.item()  # or loss.detach()",
    ),
    "evaluated-in-training-mode, norms": (
        "At {place0} losses without gradients were computed {times} times of what a batch norm gave in training mode.",
        "it normalizes these rows by themselves and moves its running means along with them: a validation changes the "
        "model; if the means were to be taken anew, all is well",
        "model.eval()  # before the validation, and model.train() after it",
    ),
    "scheduler-of-another-optimizer, doubled": (
        "{count} schedulers of the same kind and numbers, {kind}, are made over one optimizer (at {place0} and "
        "{place1}) and have stepped {times} times each (at {place2}). The other optimizer that steps has none.",
        "the rate of the one falls for both, twice as fast as it should, and that of the other one never changes",
        "scheduler = {kind}(other_optimizer, …)  # each over the optimizer that it is named after",
    ),
    "rate-collapsed, epochs": (
        "The rate of {optimizer} at {place1} has fallen from {largest} to {rate} within {steps} steps: {kind} at "
        "{place0} has stepped {often} times. The last {times} steps were made at less than a millionth of it.",
        "the training has stopped, and goes on without any effect",
        "scheduler = torch.optim.lr_scheduler.{kind}(optimizer, …)  # a slower one: gamma=0.9 instead of 0.3",
    ),
    "rate-collapsed, absolute": (
        "{kind} (made at {place1}, stepped at {place0}) began with the factor {factor}, which is the rate of its "
        "optimizer itself: the {steps} steps at {place2} were made with a rate of at most {rate}.",
        "what the function gives is multiplied by the rate that the optimizer was made with: a rate is no factor",
        "lr_lambda=lambda epoch: …  # 1 for the whole rate, or an optimizer with lr=1",
    ),
    "scheduler-upside-down, falling": (
        "{kind}(mode='max') at {place0} is told a number that falls with the loss: the last {times} from {first} to "
        "{value}, while the loss of backward() fell from {loss} to {now}.",
        "it waits for that number to grow: as long as all goes well it sees no improvement, and cuts the rate",
        "scheduler = torch.optim.lr_scheduler.{kind}(optimizer, mode='min')  # 'max' is for scores",
    ),
    "values-truncated, rows": (
        "Numbers are cast to {to} at {place0}, which cuts off their fractions (the first: {how}): what a layer is "
        "given on the way to the loss at {place1} are zeros, and nothing else.",
        "numbers between 0 and 1 become 0: the model sees no data, and learns which response is frequent",
        "x = x.float()  # or (255 * x).to(torch.uint8), and divided by 255 again before the model",
    ),
    "loss-counted-twice": (
        "In the last {times} steps backward() began at {place0} from a loss, and at {place1} from a sum that has the "
        "same loss in it; both went into one step ({names}).",
        "this part counts once more than its weight in the sum says",
        "loss.backward()  # of the sum alone",
    ),
    "batch-not-used": (
        "The last {times} batches that were fetched at {place0} went into nothing before backward() at {place1}: each "
        "time it was one and the same older batch.",
        "the loop trains on names that were left from before it: one batch is learned by heart, the others are never "
        "seen",
        "for xb, yb in loader: loss = criterion(model(xb), yb)  # the names that the loop sets",
    ),
}
