"""Spreading: what can be wrong with a device, a precision, or the other processes of a training."""

from __future__ import annotations

from collections.abc import Sequence

from betahat.errors.letters import FitError, OptionError, count, listing


def device_missing(wanted: str, there: Sequence[str], detail: str) -> OptionError:
    """Refuse a device that is not there, or has no numbers of the module's kind."""
    return OptionError(
        f"device={wanted!r} cannot hold this module: torch says {detail.rstrip('.')!r}.",
        f"torch finds here: {listing(there)}; a GPU needs a driver and a torch that was built for it, "
        "and mps has no float64",
        "pass device='auto' for what there is, or leave device= out to train where the module is",
    )


def precision_without(wanted: str, where: str) -> OptionError:
    """Refuse mixed precision where it would do nothing, or harm."""
    return OptionError(
        f"precision={wanted!r} cannot be had for {where}.",
        "torch.autocast takes the products of float32 numbers in half the bits, and leaves all others alone",
        "leave precision= out, or make the module float32 on cpu or cuda: module.float()",
    )


# ── several processes ────────────────────────────────────────────────────────────────────────────────────────────


def rank_failed(rank: int, ranks: int, text: str) -> FitError:
    """What the other processes say when one could not go on."""
    return FitError(
        f"Rank {rank} of {ranks} could not go on, so all have stopped. It says: {text}",
        "data-parallel training needs every process in every step",
        f"look at the output of rank {rank} for the whole error",
    )


def rank_lost(detail: str) -> FitError:
    """Refuse to wait for a process that is gone."""
    return FitError(
        f"Another process of this training cannot be reached any more: {detail}.",
        "it has ended or was killed, or the network between the two is down",
        "look at the output of the other ranks, and start all of them again",
    )


def ranks_differ(what: str, told: Sequence[object]) -> OptionError:
    """Refuse processes that were called with different arguments."""
    distinct = list(dict.fromkeys(map(str, told)))
    said = [f"{value} on rank {', '.join(str(r) for r, v in enumerate(told) if str(v) == value)}" for value in distinct]
    return OptionError(
        f"The processes of this training differ in {what}: {listing(said)}.",
        "under torch.distributed every process makes the same call, and the rows are dealt out by betahat",
        "pass the same arguments on every rank; rows that are each rank's own go into a DataLoader",
    )


def too_few_to_deal(what: str, number: int, ranks: int) -> OptionError:
    """Refuse fewer rows than there are processes."""
    return OptionError(
        f"{what}: {count(number, 'row')} cannot be dealt out to {ranks} processes.",
        "batch_size= counts the rows of one step over all processes, and each needs at least one",
        f"pass {ranks} rows or more, or start fewer processes",
    )


def stream_to_deal(name: str) -> OptionError:
    """Refuse a stream of rows that processes would have to share."""
    return OptionError(
        f"The rows of {name} cannot be dealt out to several processes.",
        "an IterableDataset can only be gone through from the start, and every process would do all of it",
        "let each rank's dataset yield rows of its own, and pass it in a DataLoader",
    )


def loss_not_dealt(whole: float, mean: float, total: float) -> OptionError:
    """Refuse a loss whose parts do not add up to it."""
    return OptionError(
        f"The loss of a batch is {whole:.6g}; of its two parts it is {mean:.6g} on average and {total:.6g} in sum.",
        "processes that have some of the rows each can only add up what is a mean or a sum over rows; a square root, "
        "or class weights, make it neither",
        "give a loss that is a mean or a sum of one number for each row: reduction='sum' for weighted classes",
    )


def backend_for_gpus(device: str) -> OptionError:
    """Refuse NCCL for a module that is not on a GPU."""
    return OptionError(
        f"The processes talk through NCCL, and the module is on {device}.",
        "NCCL carries numbers between GPUs only",
        "pass device='cuda', or torch.distributed.init_process_group('gloo')",
    )


def wrapped_already(kind: str) -> OptionError:
    """Refuse a module that is in DistributedDataParallel already."""
    return OptionError(
        f"The module is wrapped in {kind} already.",
        "bh.train wraps it by itself for as long as it trains, together with the loss",
        "pass what is inside, module.module; the optimizer holds the same parameters",
    )
