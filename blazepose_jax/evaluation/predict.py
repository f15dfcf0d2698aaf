"""Predictions of annotated people."""

import dataclasses
from collections.abc import Iterable

import jax
import numpy as np

from blazepose_jax.data.annotations import Annotations, Person, size_of, true_roi
from blazepose_jax.data.encode_people import WITHOUT_ROI
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.engine import Engine
from blazepose_jax.inference.labelled_roi import labelled_roi
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI

WITHOUT_SIZE = "no box, and one labelled place gives no size to measure by"
# Bounds of --roi jitter, in sides of the ROI and radians; figures with other bounds are not
# comparable.
JITTER_SCALE, JITTER_SHIFT, JITTER_ANGLE = 0.1, 0.08, np.radians(10)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One person of the data and their predicted pose.

    Attributes:
      person: the annotation.
      keypoints: (K, 2) float32, image px, of ``shared_keypoints``; NaN where nobody was found.
      visibility: (K,) float32, probability.
      score: probability that a person is there; 0 where nobody was found.
      roi: where the net looked; None where nobody was found.
    """

    person: Person
    keypoints: np.ndarray
    visibility: np.ndarray
    score: float
    roi: ROI | None


def jittered(roi: ROI, rng: np.random.Generator) -> ROI:
    """The ROI disturbed by up to 10 % in scale, 8 % of its side in x and y, 10 degrees."""
    scale, x, y, turn = rng.uniform(-1, 1, 4)
    shift = np.array([JITTER_SHIFT * x, JITTER_SHIFT * y], np.float32) * roi.side
    return ROI(
        roi.center + shift,
        roi.side * np.float32(1 + JITTER_SCALE * scale),
        roi.angle + np.float32(JITTER_ANGLE * turn),
    )


def found_roi(engine: Engine, image: np.ndarray) -> ROI | None:
    """The ROI of the candidate that the tracker would follow, or None.

    The person who is measured is not known to it.
    """
    found = jax.device_get(engine.find(to_frame(image)))
    if not found.valid.any():
        return None
    best = int(np.argmax(np.where(found.valid, found.score, -1)))
    return jax.tree.map(lambda a: np.asarray(a)[best], found.roi)


def shared_keypoints(engine: Engine, names: tuple[str, ...]) -> tuple[str, ...]:
    """The keypoints that both the data and the net have, in the net's order.

    Raises:
      BlazePoseError: none.
    """
    both = tuple(name for name in engine.skeleton.keypoints if name in names)
    if not both:
        raise BlazePoseError(
            f"the data's keypoints ({', '.join(names[:4])}, ...) share no name with the net's "
            f"({', '.join(engine.skeleton.keypoints[:4])}, ...): rename them in the annotations, or"
            " measure a net of these points"
        )
    return both


def predict(
    engine: Engine,
    data: Annotations,
    roi: str,
    people: Iterable[Person],
) -> list[Prediction]:
    """Run the net on every person whose ROI and size are known.

    The truth's ROI is that of the labels. For sets whose labels give none it is by the measured
    weights themselves (``labelled_roi``).

    Args:
      engine: with ``max_people`` of ``labelled_roi.CANDIDATES`` for sets with
        the roi ``face``.
      data: annotations, in the names of the engine's skeleton; who is left out is added to
        ``dropped``.
      roi: ``truth``, ``jitter:SEED`` or ``detector``.
      people: those of ``data``, perhaps wrapped in a progress bar.

    Returns:
      Predictions, in the order of the data.

    Raises:
      BlazePoseError: an unknown ``roi``, or nobody has a ROI.
    """
    kind, rng = parse_roi(roi)
    names, rule = shared_keypoints(engine, data.names), engine.skeleton.roi
    found = []
    for person in people:
        square = true_roi(person, data.names, engine.skeleton)
        if square is None and rule in ("points", "box"):
            data.dropped.setdefault(WITHOUT_ROI[rule], []).append(person.id)
            continue
        if not size_of(person):
            data.dropped.setdefault(WITHOUT_SIZE, []).append(person.id)
            continue
        try:
            image = read_image(person.image)
        except BlazePoseError:
            data.dropped.setdefault("broken image", []).append(person.id)
            continue
        if kind == "detector":
            square = found_roi(engine, image)
        elif square is None:
            square = labelled_roi(engine, to_frame(image), person, rule)
        if rng is not None and square is not None:
            square = jittered(square, rng)
        found.append(_predict_one(engine, person, image, square, names))
    if not found:
        raise BlazePoseError(_nobody(engine.skeleton, data))
    return found


def _nobody(skeleton: Skeleton, data: Annotations) -> str:
    """The message where nobody can be measured."""
    why = "; ".join(f"{len(ids)} {reason}" for reason, ids in data.dropped.items())
    needed = ", ".join(skeleton.center + skeleton.up)
    if skeleton.roi == "points":
        return (
            f"nobody in the data has {needed} labelled: without them there is no ROI and no torso"
            f" to measure by ({why})"
        )
    return f"nobody in the data can be measured ({why}): give the annotations a bbox"


def parse_roi(roi: str) -> tuple[str, np.random.Generator | None]:
    """Kind of a ``--roi``, and the generator of its jitter.

    Raises:
      BlazePoseError: an unknown kind, a seed that is none, or where none belongs.
    """
    kind, _, seed = roi.partition(":")
    has_seed = seed.isascii() and seed.isdigit() and len(seed) < 16
    if kind not in ("truth", "jitter", "detector") or (kind == "jitter") != has_seed:
        raise BlazePoseError(
            f"roi {roi!r} is none of truth, jitter:SEED (a whole number) and detector"
        )
    return kind, np.random.default_rng(int(seed)) if seed else None


def _predict_one(
    engine: Engine, person: Person, image: np.ndarray, roi: ROI | None, names: tuple[str, ...]
) -> Prediction:
    """The prediction in a () ROI; in none nobody is found."""
    if roi is None:
        nothing = np.full((len(names), 2), np.nan, np.float32)
        return Prediction(person, nothing, np.zeros(len(names)), 0.0, None)
    columns = list(engine.skeleton.indices(names))
    one = jax.tree.map(lambda a: np.asarray(a, np.float32)[None], roi)
    poses = jax.device_get(engine.estimate(to_frame(image), one))
    return Prediction(
        person,
        poses.keypoints[0, columns, :2],
        poses.visibility[0, columns],
        float(poses.presence[0]),
        roi,
    )
