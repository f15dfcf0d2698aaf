"""What an experiment says of its data comes in.

A reader to learn from and one to validate on leave.

A reader has ``skeleton``, ``name``, a length, and ``batch(step, size, seed, rows)``; one for
validation has ``take(rows)``; one that streams has ``position()`` and ``restore(position)``.
"""

import dataclasses
from typing import Any

import jax

from blazepose_jax.data.records import read_records
from blazepose_jax.data.rendered import Mixed, Rendered, RenderedScenes, render_all
from blazepose_jax.errors import BlazePoseError, check_name

KEPT = 10_000  # as many rendered people are kept in memory; more are rendered anew each time
HELD_OUT_SEED = 1_000_003  # rendered people to validate on are other people


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which records, made by ``blazepose data prepare`` or rendered as needed."""

    records: str = ""  # folder; "" for rendered people alone
    reader: str = "resident"  # in memory, or "grain", which streams
    held_out: int = (
        200  # fully trusted people kept back for validation; at most a fifth of the records
    )
    rendered: float = 0.0  # share of rendered people in a batch; 1.0 where there are no records
    # different rendered people before they come again; up to 10,000 are kept in memory
    people: int = 1_000_000
    size: int = 320  # px of a rendered record; that of the records it is mixed with


def cap_held_out(held_out: int, count: int) -> int:
    """``held_out``, but never more than a fifth of ``count`` records; says so.

    Raises:
      BlazePoseError: below 0, or nobody would be left to learn from.
    """
    if held_out < 0:
        raise BlazePoseError(f"data.held_out is {held_out}: it is a number of people, 0 or more")
    if held_out > (most := count // 5):
        if jax.process_index() == 0:
            print(
                f"data.held_out={held_out} is more than a fifth of {count} records: about {most}"
                " are held out",
                flush=True,
            )
        return most
    return held_out


def open_readers(config: DataConfig, kind: str = "pose") -> tuple[Any, Any]:
    """Open the data of an experiment.

    Args:
      config: what to read.
      kind: of the network, ``pose`` or ``detector``.

    Returns:
      (training, validation).

    Raises:
      BlazePoseError: no such data, an unknown reader, a share that is none.
    """
    check_name(config.reader, ("resident", "grain"), "data.reader")
    if not 0 <= config.rendered <= 1:
        raise BlazePoseError(f"data.rendered is {config.rendered}: it is a share, from 0 to 1")
    make = Rendered if kind == "pose" else RenderedScenes
    rendered = make(config.people, config.size)
    if config.rendered == 1:
        held_out = make(config.held_out, config.size, HELD_OUT_SEED)
        if kind == "pose" and config.people <= KEPT:
            # Each is looked at several times.
            rendered, held_out = (render_all(r, range(0, len(r), 8)) for r in (rendered, held_out))
        return rendered, held_out
    if config.reader == "grain":
        from blazepose_jax.data.streams import open_stream

        learn, held_out = open_stream(
            config.records, lambda count: cap_held_out(config.held_out, count)
        )
    else:
        data = read_records(config.records)
        learn, held_out = data.split(cap_held_out(config.held_out, len(data)))
    scenes = hasattr(held_out, "labels") and "kinds" in held_out.labels
    if scenes != (kind == "detector"):
        raise BlazePoseError(
            f"{config.records} holds {'scenes' if scenes else 'people'}, a {kind} net learns from "
            f"{'people' if scenes else 'scenes'}: prepare the data with{'out' if scenes else ''} "
            "--scenes"
        )
    if config.rendered:
        if learn.skeleton.keypoints != rendered.skeleton.keypoints:
            raise BlazePoseError(
                f"the records have {learn.skeleton.name} keypoints, rendered people have"
                " BlazePose's: set data.rendered=0"
            )
        learn = Mixed(learn, rendered, config.rendered)
    return learn, held_out
