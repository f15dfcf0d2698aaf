"""ROIs by a teacher, of people whose hips or shoulders nobody labelled."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.cli.progress import progress
from blazepose_jax.data.annotations import Annotations, Person, true_roi
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois
from blazepose_jax.inference.engine import Engine, load_engine
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI

# Without ROI points of its own: then the circle reaches to the farthest of the 33.
BODY = dataclasses.replace(BLAZEPOSE, auxiliary=())
LOOKS = 2  # the second is through the ROI of the first one's points
MIN_PRESENCE = 0.5  # probability of a person
MAX_DISTANCE = 0.5  # torsos, median over labelled points


def teacher_rois(weights: str, data: Annotations) -> dict[int, ROI]:
    """ROIs that a trained net sees; it labels nothing else.

    Args:
      weights: directory or .task with a pose net of BlazePose's 33 points.
      data: annotations.

    Returns:
      {id: ROI}; people of whose labelled points the teacher's lie half a torso away or more are
      left out.
    """
    engine = load_engine(weights, None, Settings(decode="heatmap"))
    lacking = [
        person for person in data.people if true_roi(person, data.names, engine.skeleton) is None
    ]
    found = {}
    for person in progress(lacking, len(lacking), "teacher", "people"):
        roi = roi_of(engine, person, data.names)
        if roi is not None:
            found[person.id] = roi
    return found


def roi_of(engine: Engine, person: Person, names: tuple[str, ...]) -> ROI | None:
    """The ROI of one person by the engine's points.

    Args:
      engine: with BlazePose's 33 points.
      person: the annotation.
      names: of the annotation's keypoints.

    Returns:
      ROI of numpy leaves, without leading axes; None where the picture is broken, nobody was found
      or the points lie too far from the labelled ones.
    """
    try:
        frame = to_frame(read_image(person.image))
    except BlazePoseError:
        return None
    square = square_round(person.keypoints[person.visibility_flags > 0])
    for _ in range(LOOKS):
        poses = engine.estimate(frame, square)
        points = jnp.asarray(poses.keypoints[..., :2])
        square = rois.from_keypoints(points, BODY)
    shared = [name for name in engine.skeleton.keypoints if name in names]
    theirs = [names.index(name) for name in shared]
    ours = list(engine.skeleton.indices(tuple(shared)))
    center, up = (
        points[0, jnp.array(BODY.indices(side))].mean(0) for side in (BODY.center, BODY.up)
    )
    torso = float(jnp.linalg.norm(center - up))
    apart = np.linalg.norm(np.asarray(points[0])[ours] - person.keypoints[theirs], axis=-1)
    apart = apart[person.visibility_flags[theirs] > 0]
    agrees = (
        float(poses.presence[0]) > MIN_PRESENCE
        and len(apart)
        and np.median(apart) < MAX_DISTANCE * torso
    )
    return jax.tree.map(lambda a: np.asarray(a[0]), square) if agrees else None


def square_round(labelled: np.ndarray) -> ROI:
    """An upright square, (1,), half again as large as the box round (n, 2) labelled points, px."""
    low, high = labelled.min(0), labelled.max(0)
    side = 1.5 * (high - low).max() + 1
    return ROI((low + high)[None] / 2, np.asarray([side], np.float32), np.zeros(1, np.float32))
