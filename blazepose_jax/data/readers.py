"""Readers of an experiment's data."""

import dataclasses
from pathlib import Path

import jax

from blazepose_jax.data.backgrounds import read_backgrounds
from blazepose_jax.data.mixed import Mixed
from blazepose_jax.data.protocols import HeldOut, Reader
from blazepose_jax.data.rendered import Rendered, RenderedScenes, render_all
from blazepose_jax.data.resident import Resident, read_records
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.io.json_files import read_json

KEPT = 10_000  # as many rendered people are kept in memory; more are rendered anew each time
LARGE = 10**9
HELD_OUT_SEED = 1_000_003  # rendered people to validate on are other people


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which records, made by ``blazepose data prepare`` or rendered as needed."""

    # Folder; "" for rendered people alone.
    records: str = ""
    # "resident", in memory, or "grain", which streams.
    reader: str = "resident"
    # Fully trusted people kept back for validation; at most a fifth of the records.
    held_out: int = 200
    # Share of a batch's records that are of people of full weight, labelled by hand and well; 0
    # draws from all records alike.
    trusted: float = 0.0
    # Share of rendered people in a batch; all of it where no records are named.
    rendered: float = 0.0
    # Different rendered people before they come again; up to 10,000 are kept in memory.
    people: int = 1_000_000
    # px of a rendered record; that of the records it is mixed with.
    size: int = 320
    # Folder of pictures of nobody, before which they are rendered; "" for walls and boxes.
    backgrounds: str = ""


def cap_held_out(held_out: int, count: int) -> int:
    """``held_out``, but never more than a fifth of ``count`` records; prints where it is less.

    Raises:
      BlazePoseError: below 0.
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


def count_records(folder: str) -> int:
    """Number of records that a records folder states; what states none counts as large.

    Raises:
      BlazePoseError: a damaged records.json.
    """
    place = Path(folder) / "records.json"
    described = read_json(place) if place.is_file() else None
    count = described.get("count") if isinstance(described, dict) else None
    return count if isinstance(count, int) else LARGE


def open_readers(
    config: DataConfig, kind: str = "pose", *, keep: bool = True
) -> tuple[Reader, HeldOut]:
    """Open the data of an experiment.

    Args:
      config: what to read.
      kind: of the network, ``pose`` or ``detector``.
      keep: render few people at once, as they come again and again; else only those of a batch.

    Returns:
      (training, validation).

    Raises:
      BlazePoseError: no such data, an unknown reader, a share outside of 0 to 1, records of the
        other kind, or of other keypoints or another size than the rendered people they are mixed
        with.
    """
    check_name(config.reader, ("resident", "grain"), "data.reader")
    if not 0 <= config.rendered <= 1:
        raise BlazePoseError(f"data.rendered is {config.rendered}: it is a share, from 0 to 1")
    if not 0 <= config.trusted < 1:
        raise BlazePoseError(f"data.trusted is {config.trusted}: it is a share, from 0 to below 1")
    if config.trusted and config.reader == "grain":
        raise BlazePoseError("data.trusted needs data.reader=resident: grain draws from all alike")
    if config.rendered == 1 or not config.records:
        return _open_rendered(config, kind, keep)
    learn, held_out = _open_records(config)
    if held_out.kind != kind:
        scenes = held_out.kind == "detector"
        raise BlazePoseError(
            f"{config.records} holds {'scenes' if scenes else 'people'}, a {kind} net learns from "
            f"{'people' if scenes else 'scenes'}: prepare the data with{'out' if scenes else ''} "
            "--scenes"
        )
    if not config.rendered:
        return learn, held_out
    rendered = _rendered(config, kind)
    if learn.skeleton.keypoints != rendered.skeleton.keypoints:
        raise BlazePoseError(
            f"the records have {learn.skeleton.name} keypoints, rendered people have"
            " BlazePose's: set data.rendered=0"
        )
    if learn.size != rendered.size:
        raise BlazePoseError(
            f"records of {learn.size} px and rendered people of {rendered.size} px do not mix: set"
            f" data.size={learn.size}"
        )
    return Mixed(learn, _kept(rendered) if keep else rendered, config.rendered), held_out


def _open_records(config: DataConfig) -> tuple[Reader, HeldOut]:
    if config.reader == "grain":
        from blazepose_jax.data.streams import open_stream

        return open_stream(config.records, lambda count: cap_held_out(config.held_out, count))
    data = read_records(config.records)
    learn, held_out = data.split(cap_held_out(config.held_out, len(data)))
    if config.trusted and len(set(learn.labels["weight"] >= 1)) < 2:
        raise BlazePoseError(
            f"data.trusted is {config.trusted}, but all people of {config.records} weigh alike: "
            "leave it at 0"
        )
    return dataclasses.replace(learn, trusted=config.trusted), held_out


def _open_rendered(config: DataConfig, kind: str, keep: bool) -> tuple[Reader, HeldOut]:
    learn = _rendered(config, kind)
    held_out = dataclasses.replace(learn, count=config.held_out, seed=HELD_OUT_SEED)
    if not keep or config.people > KEPT:
        return learn, held_out
    return _kept(learn), _kept(held_out) if len(held_out) else held_out


def _rendered(config: DataConfig, kind: str) -> Rendered | RenderedScenes:
    """Rendered people or scenes to learn from."""
    made = RenderedScenes if kind == "detector" else Rendered
    pictures = read_backgrounds(config.backgrounds) if config.backgrounds else None
    return made(config.people, config.size, pictures=pictures)


def _kept(reader: Rendered | RenderedScenes) -> Rendered | RenderedScenes | Resident:
    """Few people, who come again and again, rendered once."""
    return render_all(reader) if isinstance(reader, Rendered) and len(reader) <= KEPT else reader
