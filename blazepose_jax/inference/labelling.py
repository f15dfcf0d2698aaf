"""Labels by a teacher: what a trained net sees of everybody in a photograph.

People who are labelled by hand keep their labels; what is missing comes from the teacher. Others
are found by a search and labelled by the teacher alone.
"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.data.annotations import (
    Person,
    TeacherLabels,
    labelled_box,
    labelled_by_hand,
    true_roi,
)
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.engine import Engine, load_engine
from blazepose_jax.inference.labelled_roi import (
    LEAST_INSIDE,
    MIN_PRESENCE,
    WIDTHS,
    share_of,
    sized_box,
)
from blazepose_jax.inference.quality import MIN_QUALITY
from blazepose_jax.inference.search import SAME, agreement
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.state import initial_state
from blazepose_jax.inference.teacher_looks import Look, agrees, to_labels
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, Frame

PEOPLE = 8  # whom a search returns


@dataclasses.dataclass(frozen=True)
class Labeller:
    """The networks that label.

    Attributes:
      teacher: looks at crops and at their mirror images.
      first: the same net, which looks at crops alone: a first look only says where to look next.
      finder: searches photographs for people; None where nobody else is to be labelled.
    """

    teacher: Engine
    first: Engine
    finder: Engine | None


def load_labeller(
    teacher: str, finder: str | None, runtime: str = "jax", *, download: bool = False
) -> Labeller:
    """Load the networks.

    Args:
      teacher: weights of the 33 points.
      finder: weights with a detector, of a pose net that is quick; None labels only people who are
        labelled by hand.
      runtime: as for ``load_engine``.
      download: as for ``load_engine``.

    Raises:
      BlazePoseError: bad weights, a teacher of other points, or a finder without a detector.
    """
    plain = Settings(
        decode="stills", search="none", smoothing=False, min_presence_confidence=0.0, world=False
    )
    both = dataclasses.replace(plain, flip=True, world=True, mask=True)
    search = Settings(decode="stills", search="thorough", smoothing=False, max_people=PEOPLE)
    found = Labeller(
        load_engine(teacher, None, both, runtime, download=download),
        load_engine(teacher, None, plain, runtime, download=download),
        None if finder is None else load_engine(finder, None, search, runtime, download=download),
    )
    if found.teacher.skeleton.keypoints != BLAZEPOSE.keypoints:
        raise BlazePoseError(
            f"the teacher {teacher!r} predicts {len(found.teacher.skeleton.keypoints)} points of"
            f" the set {found.teacher.skeleton.name!r}: name a net of BlazePose's 33"
        )
    # Weights without a detector are an error above.
    assert found.finder is None or found.finder.detector is not None
    return found


def label_picture(
    labeller: Labeller,
    frame: Frame,
    people: list[Person],
    names: tuple[str, ...],
    corrected: frozenset[str] = frozenset(),
) -> tuple[list[TeacherLabels | None], list[TeacherLabels]]:
    """Label everybody in a photograph.

    Args:
      labeller: the networks.
      frame: the photograph.
      people: whom somebody labelled by hand in it, perhaps nobody.
      names: of their n keypoints, which begin with BlazePose's 33.
      corrected: data sets whose labels give way to the teacher's.

    Returns:
      Labels of each of ``people``, None of those whom the teacher did not find where their labels
      are; and labels of everybody else who was found.
    """
    squares = [] if labeller.finder is None else find_squares(labeller.finder, frame)
    seen = [best_look(labeller, frame, person, names, squares) for person in people]
    known = [look for look in seen if look is not None]
    others = list(unlabelled_looks(labeller, frame, people, squares, known))
    labels = [
        None
        if look is None
        else to_labels(look, frame, person, names, person.data_set in corrected)
        for look, person in zip(seen, people, strict=True)
    ]
    return labels, [to_labels(look, frame, None, names) for look in others]


def unlabelled_looks(
    labeller: Labeller, frame: Frame, people: list[Person], squares: list[ROI], known: list[Look]
) -> Iterator[Look]:
    """What the teacher sees of found people whom nobody labelled by hand.

    Args:
      labeller: the networks.
      frame: the photograph.
      people: who is labelled by hand.
      squares: where somebody was found.
      known: looks at ``people``.
    """
    known = list(known)
    for square in squares:
        first = look_at(labeller.first, frame, square)
        if not is_good(first) or any(is_same(first, other) for other in known):
            continue
        # Somebody whom the teacher did not see as the labels say is in ``people``, but not known.
        if any(
            share_of(person, first.next_roi) >= SAME
            for person in people
            if labelled_by_hand(person)
        ):
            continue
        known.append(look_at(labeller.teacher, frame, square))
        if is_good(known[-1]):
            yield known[-1]


def find_squares(finder: Engine, frame: Frame) -> list[ROI]:
    """() squares of everybody who is found, best first."""
    found = jax.device_get(finder.find(frame))
    return [
        jax.tree.map(lambda a, n=n: np.asarray(a[n]), found.roi)
        for n in np.flatnonzero(found.valid)
    ]


def look_at(engine: Engine, frame: Frame, square: ROI) -> Look:
    """What an engine sees in a () square."""
    first = jax.tree.map(lambda a: np.asarray(a, np.float32)[None], square)
    state, poses = jax.device_get(
        engine.step(initial_state(engine.skeleton), frame, 0.0, first=first)
    )
    following = jax.tree.map(lambda a: np.asarray(a[0]), state.roi)
    usable = np.isfinite(following.side) and following.side > 0
    return Look(poses, following if usable else square)


def is_good(look: Look) -> bool:
    """Whether somebody is there, in a pose that may be right."""
    return bool(
        look.poses.presence[0] >= MIN_PRESENCE
        and look.poses.quality[0] >= MIN_QUALITY
        and np.isfinite(look.poses.keypoints).all()
    )


def is_same(one: Look, other: Look) -> bool:
    """Whether two looks show the same person."""
    plain = [look.poses.replace(world=None, mask=None) for look in (one, other)]
    both = jax.tree.map(lambda *rows: jnp.concatenate(rows), *plain)
    return bool(agreement(both, BLAZEPOSE)[0, 1] >= SAME)


def best_look(
    labeller: Labeller, frame: Frame, person: Person, names: tuple[str, ...], squares: list[ROI]
) -> Look | None:
    """What the teacher sees of a person who is labelled by hand.

    From where a teacher would look next, if one has labelled the person, else from the square by
    the labels, if they give one; else, or where it sees somebody else there, from those found
    squares that hold the labels; else from squares round the labels.

    Returns:
      Of the first kind that gives any, the look of the highest quality that agrees with the labels;
      or None.
    """
    if not labelled_by_hand(person):
        return None
    true = true_roi(person, names)
    kinds = (
        lambda: [] if person.teacher is None else [person.teacher.roi],
        lambda: [] if true is None else [true],
        lambda: [square for square in squares if share_of(person, square) >= LEAST_INSIDE],
        lambda: boxes(labeller.first, frame, person),
    )
    for kind in kinds:
        looks = [look_at(labeller.teacher, frame, square) for square in kind()]
        good = [look for look in looks if is_good(look) and agrees(look, person)]
        if good:
            return max(good, key=lambda look: float(look.poses.quality[0]))
    return None


def boxes(first: Engine, frame: Frame, person: Person) -> Iterator[ROI]:
    """Where looks into squares round the labels lead."""
    box = labelled_box(person) if person.box_xyxy is None else person.box_xyxy
    box = sized_box(person, box, frame)
    for factor in WIDTHS:
        side = np.asarray(factor * (box[2:] - box[:2]).max() + 1, np.float32)
        square = ROI((box[:2] + box[2:]) / 2, side, np.zeros((), np.float32))
        yield look_at(first, frame, square).next_roi
