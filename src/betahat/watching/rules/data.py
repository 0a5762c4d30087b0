"""Data: which batches come, and what was lost of their numbers."""

from __future__ import annotations

from betahat.watching.ledger import Ledger
from betahat.watching.rules.alarm import ROW, Alarm, of_root


def one_batch(ledger: Ledger) -> Alarm | None:
    """A loader in order is begun anew for each step, gives its first batch, and is left.

    A warning when each of these batches was followed by one step, and no other loader gave one: it is what the
    training lives on. Otherwise a note: a glance at the same rows after each epoch may be meant.
    """
    feed = ledger.around.feeds.get(ledger.around.last_feed)
    if feed is None or feed.alone < ROW or feed.length < 2:
        return None
    values = {"times": feed.alone + 1, "length": feed.length}
    if feed.orderly and feed.fed >= ROW:
        return Alarm("one-batch-only", "warning", (feed.place,), values)
    form = "one-batch-only, looked at" if feed.orderly else "one-batch-only, shuffled"
    return Alarm("one-batch-only", "note", (feed.place,), values, form=form)


def not_used(ledger: Ledger) -> Alarm | None:
    """Batches are fetched, one before each backward pass, and none is used: the same older one is, each time.

    A batch that is fetched ahead is used in its turn, and rows that are kept for a look are used beside the new ones.
    """
    flow = ledger.flow
    if flow is None or flow.batches.stale < 2 * ROW:
        return None
    values = {"times": flow.batches.stale}
    return Alarm("batch-not-used", "warning", (flow.batches.place, of_root(ledger)), values)


def dry(ledger: Ledger) -> Alarm | None:
    """An iterator over a loader that has ended is asked again: a loop over it has nothing to do."""
    for feed in ledger.around.feeds.values():
        if feed.dry:
            return Alarm("iterator-exhausted", "warning", (feed.place,), {"given": feed.given, "length": feed.length})
    return None


def saturated(ledger: Ledger) -> Alarm | None:
    """An activation is beyond ±8 in nearly all of its numbers, in the first three calls of a layer of raw data.

    Of the data and of the beginning: large weights, an output after training, gates and masks are other things.
    """
    found = None if ledger.flow is None else ledger.flow.given.fed.saturated
    if found is None:
        return None
    p = found.weight()
    values = {
        "by": found.by,
        "share": f"{min(int(100 * found.share), 99)} %",
        "size": found.size,
        "largest": found.largest,
    }
    weights = () if p is None else (ledger.known(p),)
    return Alarm("units-saturated", "warning", (found.place,), values | {"times": found.far}, weights)


def blank(ledger: Ledger) -> Alarm | None:
    """All data that ever went into any layer were zeros, in ten passes and more.

    A first hidden state, a point of a boundary or an empty token stand beside other data. What a cast has emptied is
    said by `truncated`.
    """
    flow = ledger.flow
    if flow is None or flow.given.fed.seen or flow.emptied > 0:
        return None
    for found in flow.given.fed.blank.values():
        p = found.weight()
        if found.alone and found.passes >= 3 * ROW + 1 and p is not None:
            values = {"times": found.passes, "shape": found.shape}
            return Alarm("inputs-all-zero", "warning", (found.place, of_root(ledger)), values, (ledger.known(p),))
    return None


def truncated(ledger: Ledger) -> Alarm | None:
    """Numbers whose fractions were cut off by a cast meet predictions in a loss.

    Labels and positions are cast as well, but they do not meet predictions number by number. A note where the cast was
    made once: whole numbers are drawn like that.
    """
    trail = None if ledger.root is None else ledger.root.trail
    if trail is None or trail.lossy is None:
        return None
    event = trail.lossy
    if event.empty:
        return Alarm("values-truncated", "warning", (event.place, of_root(ledger)),
                     {"to": event.name, "how": event.detail}, form="values-truncated, rows")  # fmt: skip
    level = "warning" if event.often else "note"
    return Alarm("values-truncated", level, (event.place, of_root(ledger)), {"to": event.name, "how": event.detail})
