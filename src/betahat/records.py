"""Records: columns of numbers, one row for each step of something, in the forms in which others read them.

    write_whole("run.jsonl", json_lines(columns))
    write_whole("runs/events.out.tfevents.run", events(steps, seconds, {"loss/training": losses}))

What is no number (NaN, an infinity) is null in Arrow and in JSON, which has neither, and left out of event files.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from betahat import errors

_ROWS = 1_024  # that are turned into Python's numbers at once
Columns = Mapping[str, Any]  # name → array (t,)


def arrow(columns: Columns) -> pa.Table:
    """An Arrow table.

    Examples
    --------
    >>> arrow({"step": np.array([1, 2]), "loss": np.array([0.5, np.nan])}).to_pydict()
    {'step': [1, 2], 'loss': [0.5, None]}
    """
    return pa.table({name: pa.array(values, mask=~np.isfinite(values)) for name, values in columns.items()})


def json_lines(columns: Columns) -> Iterator[bytes]:
    r"""JSON Lines: an object for each row, with every digit of its numbers.

    Examples
    --------
    >>> b"".join(json_lines({"step": np.array([1, 2]), "loss": np.array([0.5, np.nan])}))
    b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": null}\n'
    """
    length = min((len(values) for values in columns.values()), default=0)
    for start in range(0, length, _ROWS):
        parts = [values[start : start + _ROWS].tolist() for values in columns.values()]
        for row in zip(*parts, strict=True):
            told = {name: v if math.isfinite(v) else None for name, v in zip(columns, row, strict=True)}
            yield json.dumps(told, ensure_ascii=False).encode() + b"\n"


def events(steps: Any, seconds: Any, scalars: Columns) -> Iterator[bytes]:
    """A TensorBoard event file: for each step the scalars that are numbers, in float32, as the format has them.

    Parameters
    ----------
    steps : array (t,), int
    seconds : array (t,)
        Since the beginning; the last step is set at the present time, as the format wants a time of day.
    scalars : mapping of name to array (t,)
        A name before a stroke ("loss/training") is the group in which TensorBoard shows it.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError:
        raise errors.no_tensorboard() from None

    clock = np.nan_to_num(np.asarray(seconds, dtype=np.float64))
    clock = clock + (time.time() - clock[-1:].sum())

    def encoded() -> Iterator[bytes]:
        buffer = io.BytesIO()
        records = RecordWriter(buffer)
        records.write(Event(wall_time=clock[:1].sum(), file_version="brain.Event:2").SerializeToString())
        for place, step in enumerate(np.asarray(steps).tolist()):
            told = [(tag, float(values[place])) for tag, values in scalars.items()]
            found = Summary(value=[Summary.Value(tag=tag, simple_value=v) for tag, v in told if math.isfinite(v)])
            records.write(Event(wall_time=clock[place], step=step, summary=found).SerializeToString())
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
        yield buffer.getvalue()

    return encoded()
