"""More letters of `watch` in English."""

LETTERS = {
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
