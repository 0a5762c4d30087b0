"""Resuming: what can be wrong with the checkpoint of a training, or of the passes over many files."""

from __future__ import annotations

from betahat.errors.letters import BetahatError, ModelFileError, OptionError, SourceError, clipped


def other_training(path: str, what: str, before: object, now: object) -> OptionError:
    """Refuse a checkpoint of another training than the one that is asked for."""
    return OptionError(
        f"The checkpoint {path!r} is of another training: {what} was {clipped(before)}, and is {clipped(now)}.",
        "a training goes on only as it began: with the same module, loss, optimizer, options and data",
        f"ask for the same again, name another checkpoint, or remove {path!r} to begin anew",
    )


def trained_longer(path: str, done: int, asked: int) -> OptionError:
    """Refuse to go on to an epoch that lies behind."""
    return OptionError(
        f"The checkpoint {path!r} is in epoch {done:,} already, and epochs={asked:,} asks for fewer.",
        "what was learned in later epochs is not taken back",
        f"ask for {done:,} epochs or more, or remove {path!r} to begin anew",
    )


def no_checkpoint(path: str, why: str) -> ModelFileError:
    """Refuse a file that is no checkpoint of a training, or is damaged."""
    return ModelFileError(
        f"{path!r} is no checkpoint that a training can go on from.",
        why,
        "name another file; or remove this one, and the training begins anew",
    )


def checkpoint_too_new(path: str, version: object, known: int) -> ModelFileError:
    """Refuse a checkpoint of a later format."""
    return ModelFileError(
        f"{path!r} has checkpoint format {version}; this betahat reads formats up to {known}.",
        "a newer betahat wrote it",
        "pip install --upgrade betahat",
    )


def cannot_be_kept(what: str, kind: type) -> OptionError:
    """Refuse a state that a file of numbers and text cannot hold."""
    return OptionError(
        f"{what} is a {kind.__name__}, which a checkpoint cannot hold.",
        "it holds dense tensors, arrays, numbers, text, and lists, tuples and dicts of these; never a pickle, which "
        "can run code",
        "let its state_dict() return such values, or leave checkpoint= out",
    )


def kept_nowhere(what: str, kind: str) -> OptionError:
    """Refuse something that changes in a training and does not tell its state."""
    return OptionError(
        f"The {what} is a {kind}, which has no state_dict() and load_state_dict().",
        "without them nobody knows what it remembers between two steps",
        "give it the two, or leave checkpoint= out",
    )


def skipped_short(path: str, wanted: int, found: int) -> OptionError:
    """Refuse data that end before the place where a training was stopped."""
    return OptionError(
        f"The checkpoint {path!r} stands behind batch {wanted:,} of an epoch, which is over after {found:,} now.",
        "the data are not what they were",
        f"bring them back, or remove {path!r} to begin anew",
    )


def file_came_later(path: str, checkpoint: str) -> SourceError:
    """Refuse to go on with files that earlier passes have not seen."""
    return SourceError(
        f"{path!r} came later than the checkpoint {checkpoint!r}, whose passes have not seen it.",
        "a generalized linear model goes over all its files again and again, and they have to be the same",
        f"leave the file out, or remove {checkpoint!r} to begin anew",
    )


def pass_with_checkpoint(
    letter: BetahatError, path: str, place: int, done: int, files: int, checkpoint: str
) -> BetahatError:
    """The same letter, naming the file, and saying where the passes were and what is kept of them."""
    what = letter.what if path in letter.what else f"In {path!r}: {letter.what}"
    kept = f"{done:,} of {files:,} files of pass {place} are kept in {checkpoint!r}: run the same again to go on there"
    return type(letter)(what, letter.why, f"{letter.remedy}; {kept}" if letter.remedy else kept)


def checkpoint_of_columns(name: str) -> OptionError:
    """Refuse arrays beside files whose passes are kept."""
    return OptionError(
        f"{name}= is no column's name, and checkpoint= is given.",
        "started again, nothing shows whether an array is what it was",
        "put it into the files, as a column",
    )
