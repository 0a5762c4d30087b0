"""The letters of `watch` in English about what losses and layers are given."""

LETTERS = {
    "targets-out-of-range, signs": (
        "{loss} at {place0} is given targets from {low} to {high}, in {times} calls so far. It expects targets "
        "between 0 and 1.",
        "a target of -1 makes the loss fall without end, below zero too: the scores grow and grow, and what comes of "
        "them is no probability",
        "{loss}(scores, (y + 1) / 2)  # -1 and 1 become 0 and 1",
    ),
    "targets-out-of-range, bytes": (
        "{loss} at {place0} is given targets from {low} to {high}, in {times} calls so far. It expects targets "
        "between 0 and 1.",
        "a target above 1 makes the loss fall without end, below zero too: every output is driven to 1, whatever the "
        "picture shows",
        "{loss}(scores, y / 255)  # and the same for what the model is given: x / 255",
    ),
    "targets-out-of-range, range": (
        "{loss} at {place0} is given targets from {low} to {high}, in {times} calls so far. It expects targets "
        "between 0 and 1.",
        "beyond 0 and 1 the loss falls without end, below zero too: the scores grow and grow, and what comes of them "
        "is no probability",
        "y = {moved}  # or cross_entropy for classes, mse_loss for measurements",
    ),
    "targets-out-of-range, reach": (
        "{loss} at {place0} is given what {by} at {place1} has made, which lies between {least} and {most}. The "
        "targets go from {low} to {high}: in {times} calls in a row at least {share} of those that are not 0 lie "
        "beyond.",
        "the output can never get there: it is driven to its end, where {by} is flat, and the loss stays large",
        "return self.out(h)  # no {by} after the last layer; or targets scaled to its range: y = {scaled}",
    ),
    "log-probabilities-expected, probabilities": (
        "{loss} at {place0} is given probabilities: none is below 0, and each row sums to 1. It expects their "
        "logarithms, which are never above 0.",
        "the loss is another one: it falls below zero, its slopes are wrong, and what it ends at is not what you mean",
        "{loss}(F.log_softmax(scores, dim=-1), …)  # log_softmax instead of softmax",
    ),
    "log-probabilities-expected, scores": (
        "{loss} at {place0} is given numbers up to {high} in {times} calls so far. It expects logarithms of "
        "probabilities, which are never above 0.",
        "the loss is made small by making the scores large, whatever the others are: it falls without end",
        "{loss}(F.log_softmax(scores, dim=-1), …)  # the scores of the last layer, normalized",
    ),
    "reshaped-not-transposed": (
        "{loss} at {place0} is given scores of shape {after}, which {by}() at {place1} has cut out of {before}, "
        "{times} times so far. {by} leaves the numbers in their order: it exchanges no dimensions.",
        "what stands there as the scores of one position are scores of several positions and classes, mixed: next to "
        "nothing can be learned beyond how frequent each class is",
        "loss = {loss}({mended}, targets)  # the classes become dimension 1",
    ),
    "units-saturated": (
        "In the first {times} calls at least {share} of the numbers that {by} at {place0} is given lie beyond -8 and 8 "
        "(the largest is {largest} in size). They come from {names}, a layer that is given raw numbers up to {size}.",
        "out there {by} is flat: its units give the same for every row, and their weights get next to no gradient",
        "x = (x - x.mean(0)) / x.std(0)  # the columns standardized, by the training rows, before the model",
    ),
    "inputs-all-zero": (
        "In {times} passes every number that went into {names} at {place0} was 0 (shape {shape}), and no other layer "
        "was given data either (backward() at {place1}).",
        "the model sees no data: it learns which response is frequent, or the mean, and nothing else",
        "x = image.astype('float32') / 255  # whole numbers divided by // become 0; then look: x.min(), x.max()",
    ),
    "sampled-without-gradient": (
        "A sample that is drawn at {place0} goes into another network at {place1}, in {times} passes in a row. No "
        "gradient comes back through it, while another part of the loss reaches what it was drawn by.",
        "mean and scale learn from that part alone: in a variational autoencoder the encoder follows the divergence "
        "and never the reconstruction; if a score-function estimator is meant, all is well",
        "z = q.rsample()  # mean + scale * noise, through which gradients go",
    ),
}
