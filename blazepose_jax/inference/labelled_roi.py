"""ROIs of annotated people whose labels give none, by a network that looks at the picture."""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.data.annotations import Person, labelled_box, true_roi
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois
from blazepose_jax.inference.engine import Engine
from blazepose_jax.inference.state import initial_state
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Frame
from blazepose_jax.weights.rows import row_sources

LOOKS = 2  # the second is through the ROI that the first one gives
# First squares, in sides of the box round the labelled points: one that fits a whole body, then
# wider ones for a part of it. Of 40 people of LSP Extended with one arm labelled, `data prepare
# --teacher` with Lite kept 1 with 1.5 alone, 27 with these, 36 with the detector's square first.
WIDTHS = (1.5, 3.0, 6.0)
CANDIDATES = 8  # detections among which one is chosen; ``Settings.max_people`` of the engine
LEAST_INSIDE = 0.5  # share of the labelled points, in the square of a person's detection
MIN_PRESENCE = 0.5  # probability of a person
MAX_DISTANCE = 0.5  # torsos, median over the labelled points that a teacher knows


@dataclasses.dataclass(frozen=True)
class Look:
    """What a pose net sees of a person, without axes for people.

    Attributes:
      points: (K, 2) float32, image px.
      presence: probability that a person is there.
      next_roi: where it looks in the next frame.
    """

    points: np.ndarray
    presence: float
    next_roi: ROI


def labelled_roi(engine: Engine, frame: Frame, person: Person, rule: str) -> ROI | None:
    """The ROI of an annotated person where the skeleton's rule asks a network for it.

    Args:
      engine: whose networks look.
      frame: the photograph.
      person: the annotation.
      rule: ``face``, the detection that fits the labelled points best; ``net``, where the pose net
        goes on after two looks, of the first squares in turn the one from which it is sure of a
        person round the labels, else where it is surest.

    Returns:
      ROI of numpy leaves; None where nothing was detected.

    Raises:
      BlazePoseError: ``face``, and the engine has no detector.
    """
    if rule == "face":
        return roi_of_face(engine, frame, person)
    seen = []
    for look in looks(engine, frame, person):
        if look.presence > MIN_PRESENCE and share_of(person, look.next_roi) >= LEAST_INSIDE:
            return look.next_roi
        seen.append(look)
    return max(seen, key=lambda look: look.presence).next_roi


def roi_of_face(engine: Engine, frame: Frame, person: Person) -> ROI | None:
    """The square of the detection in which most labelled points lie, as near its middle as can be.

    Args: as for ``labelled_roi``; the engine's ``max_people`` is best ``CANDIDATES``.

    Returns:
      ROI of numpy leaves; None where no detection has half of the points.
    """
    found = jax.device_get(engine.detect(frame))
    squares = jax.device_get(
        rois.from_alignment(jnp.asarray(found.keypoints[:, 0]), jnp.asarray(found.keypoints[:, 1]))
    )
    labelled = person.keypoints[person.visibility_flags > 0]
    best, best_fit = None, (LEAST_INSIDE, -np.inf)
    for n in np.flatnonzero(found.valid & (squares.side > 0)):
        square = jax.tree.map(lambda a, n=n: np.asarray(a[n]), squares)
        inside = share_of(person, square)
        apart = np.linalg.norm(labelled.mean(0) - square.center) / square.side
        if (fit := (inside, -float(apart))) > best_fit:
            best, best_fit = square, fit
    return best


def share_of(person: Person, square: ROI) -> float:
    """The share of a person's labelled points that lie in a () square."""
    labelled = person.keypoints[person.visibility_flags > 0]
    crop = np.asarray(rois.image_to_crop(jnp.asarray(labelled), square))
    return float(((crop >= 0) & (crop <= 1)).all(-1).mean())


def looks(engine: Engine, frame: Frame, person: Person) -> Iterator[Look]:
    """What the pose net sees of a person, beginning at one square after the other.

    Args:
      engine: with a pose net. With a detector its detection of the person is the first square.
      frame: the photograph.
      person: the annotation.

    Returns:
      A look for each first square, made when it is asked for.
    """
    if has_detector(engine) and (detected := roi_of_face(engine, frame, person)) is not None:
        yield look_twice(engine, frame, jax.tree.map(lambda a: a[None], detected))
    box = sized_box(person, labelled_box(person), frame)
    for factor in WIDTHS:
        side = factor * (box[2:] - box[:2]).max() + 1
        sides, angles = np.asarray([side], np.float32), np.zeros(1, np.float32)
        yield look_twice(engine, frame, ROI((box[:2] + box[2:])[None] / 2, sides, angles))


def sized_box(person: Person, box: np.ndarray, frame: Frame) -> np.ndarray:
    """(4,) px: a box round labels; of a point alone, which has no size, its own or the picture."""
    if (box[2:] > box[:2]).any():
        return box
    width, height = np.asarray(frame.size, np.float32)
    whole = np.array([0, 0, width, height], np.float32)
    return whole if person.box_xyxy is None else person.box_xyxy


def look_twice(engine: Engine, frame: Frame, square: ROI) -> Look:
    """What the pose net sees in a (1,) square, and then where it goes on from there.

    Returns:
      The second look. Where a look gives no square to go on with, the one before is kept.
    """
    for _ in range(LOOKS):
        state, poses = jax.device_get(
            engine.step(initial_state(engine.skeleton), frame, 0.0, first=square)
        )
        if np.isfinite(state.roi.side[0]) and state.roi.side[0] > 0:
            square = state.roi
    return Look(
        np.asarray(poses.keypoints[0, :, :2]),
        float(poses.presence[0]),
        jax.tree.map(lambda a: np.asarray(a[0]), square),
    )


def has_detector(engine: Engine) -> bool:
    """Whether an engine can look for people itself."""
    try:
        return engine.detector is not None
    except BlazePoseError:
        return False


def roi_by_teacher(
    engine: Engine, frame: Frame, person: Person, names: tuple[str, ...], skeleton: Skeleton
) -> ROI | None:
    """The ROI of a person by a trained net, whose points are compared with the labelled ones.

    Args:
      engine: the teacher's.
      frame: the photograph.
      person: the annotation.
      names: of its keypoints, the skeleton's where both have them.
      skeleton: whose rule decides. By ``points`` the teacher's points stand for the labels.

    Returns:
      ROI of numpy leaves; None where nobody was found, or where the teacher's points lie too far
      from the labelled ones.
    """
    if skeleton.roi == "face":
        return roi_of_face(engine, frame, person)
    look = next(
        (
            look
            for look in looks(engine, frame, person)
            if look.presence > MIN_PRESENCE
            and _agrees(engine.skeleton, look, person, names, skeleton)
        ),
        None,
    )
    if look is None:
        return None
    if skeleton.roi == "net":
        return look.next_roi
    points, known = points_of_teacher(engine.skeleton, look.points, skeleton)
    for i, name in enumerate(skeleton.keypoints):
        if not known[i] and name in names and person.visibility_flags[names.index(name)] > 0:
            points[i], known[i] = person.keypoints[names.index(name)], True
    if not known.any():
        return None
    seen = dataclasses.replace(
        person, keypoints=points, visibility_flags=np.where(known, 2, 0), box_xyxy=None
    )
    return true_roi(seen, skeleton.keypoints, skeleton)


def points_of_teacher(
    teacher: Skeleton, points: np.ndarray, skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    """A teacher's points in another set's order, by the points of the body.

    Args:
      teacher: K' keypoints.
      points: (K', 2) px.
      skeleton: K keypoints.

    Returns:
      (K, 2) float32 px, and (K,) bool: the teacher knows the point.
    """
    found = np.zeros((len(skeleton.keypoints), 2), np.float32)
    rows = rows_of_teacher(teacher, skeleton)
    known = np.array([row is not None for row in rows])
    found[known] = points[[row for row in rows if row is not None]]
    return found, known


def rows_of_teacher(teacher: Skeleton, skeleton: Skeleton) -> list[int | None]:
    """K positions among a teacher's keypoints, None for points that it does not predict."""
    sources = row_sources(teacher, skeleton)[: len(skeleton.keypoints)]
    return [source.rows[0] if source.known else None for source in sources]


def _agrees(
    teacher: Skeleton, look: Look, person: Person, names: tuple[str, ...], skeleton: Skeleton
) -> bool:
    """Whether the teacher looked at the person who is labelled."""
    points, known = points_of_teacher(teacher, look.points, skeleton)
    labels = {
        name: xy
        for name, xy, flag in zip(names, person.keypoints, person.visibility_flags, strict=True)
        if flag > 0
    }
    apart = [
        np.linalg.norm(points[i] - labels[name])
        for i, name in enumerate(skeleton.keypoints)
        if known[i] and name in labels
    ]
    if not apart:  # the set has nothing that the teacher knows
        return share_of(person, look.next_roi) >= LEAST_INSIDE
    torso = rois.USUAL_TORSO * float(look.next_roi.side)
    if teacher.center and teacher.up:
        center, up = (
            look.points[list(teacher.indices(ends))].mean(0)
            for ends in (teacher.center, teacher.up)
        )
        torso = float(np.linalg.norm(center - up))
    return bool(np.median(apart) < MAX_DISTANCE * torso)


def check_teacher(engine: Engine, skeleton: Skeleton, names: tuple[str, ...]) -> None:
    """Refuse a teacher that can give no ROI for a set.

    Args:
      engine: the teacher's.
      skeleton: of the records.
      names: of the data's keypoints.

    Raises:
      BlazePoseError: it has no detector, which ``face`` needs, or lacks points that place the ROI.
    """
    if skeleton.roi == "face" and not has_detector(engine):
        raise BlazePoseError(
            f'the set {skeleton.name!r} has "roi": "face" and the teacher {engine.model!r} no'
            " detector: name weights that hold one, such as those imported from Google's files"
        )
    if skeleton.roi != "points":
        return
    rows = dict(zip(skeleton.keypoints, rows_of_teacher(engine.skeleton, skeleton), strict=True))
    needed = skeleton.center + skeleton.up
    if lacking := [name for name in needed if rows[name] is None and name not in names]:
        raise BlazePoseError(
            f"neither the data nor the teacher {engine.model!r} has the keypoint {lacking[0]!r},"
            f" which places the ROI of the set {skeleton.name!r}: say in the skeleton file which of"
            f' BlazePose\'s points it is like, or give "roi": "net" in place of center and up'
        )
