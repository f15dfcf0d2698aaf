"""Annotated people."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.data.run_lengths import RunLengths
from blazepose_jax.geometry import rois
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI

# {reason: ids}. Ids are as the annotation file has them, which may be any JSON value.
Reasons = dict[str, list[object]]

# ``Person.data_set`` of LSP Extended, whose flag 2 says no more than labelled.
LSP_EXTENDED = "lspet"
MAX_LISTED = 10  # ids in one line of a report
QUOTES = "'\""


@dataclasses.dataclass(frozen=True)
class TeacherLabels:
    """What a trained net says of a person, written down once (``blazepose data label``).

    Attributes:
      keypoints: (n, 2) float32, image px: the labels by hand, and the teacher's points elsewhere.
      confidence: (n,) float32, weight of each point as a label, from 0 to 1; 0 for none.
      visibility: (n,) float32, probability that the point is not occluded.
      depth: (n,) float32, image px, 0 at the mid-hip, smaller is nearer.
      world: (n, 3) float32, metres, origin at the mid-hip, image axes.
      roi: () where the teacher would look next, image px, numpy leaves.
      quality: the share of its points that is expected to be right (``inference.quality``).
      mask: of the person, or None.
    """

    keypoints: np.ndarray
    confidence: np.ndarray
    visibility: np.ndarray
    depth: np.ndarray
    world: np.ndarray
    roi: ROI
    quality: float
    mask: RunLengths | None = None


@dataclasses.dataclass(frozen=True)
class Person:
    """One annotated person.

    Attributes:
      id: of the annotation where all ids are small whole numbers, else a running one.
      image: path of the photograph.
      keypoints: (n, 2) float32, image px; (0, 0) where unlabelled.
      visibility_flags: (n,) int32: 2 visible, 1 labelled but occluded, 0 unlabelled.
      area: px², for OKS.
      data_set: name that the image's entry gives, or "".
      group: what the file says the person belongs to, such as a film or a subject, or "".
      label: the annotation's id as the file has it, as text.
      box_xyxy: (4,) float32, image px, as annotated; None without one.
      teacher: labels by a net; None without them. The fields above are labels by hand alone.
      knows_occlusion: a flag of 2 means visible, and not just labelled.
      eval_ok: marked as fit for a single-person score, or as not; None where it is not marked.
    """

    id: int
    image: Path
    keypoints: np.ndarray
    visibility_flags: np.ndarray
    area: float
    data_set: str
    group: str = ""
    label: str = ""
    box_xyxy: np.ndarray | None = None
    teacher: TeacherLabels | None = None
    knows_occlusion: bool = True
    eval_ok: bool | None = None

    @property
    def labels_occlusion(self) -> bool:
        """``knows_occlusion``, but of LSP Extended, whose flags say no more than labelled."""
        return self.knows_occlusion and self.data_set != LSP_EXTENDED


@dataclasses.dataclass(frozen=True)
class Annotations:
    """People of one data set.

    Attributes:
      names: of the n keypoints: the skeleton's where the file's mean the same points, else the
        file's.
      people: the usable ones, in the order of the file.
      dropped: who was left out, by reason.
      changed: what was read differently from what the file says, by kind of change.
      pairs: (left, right) names by the file's flip_indices, or None.
      file: of the annotations, or None.
      renamed: (the file's name, the skeleton's) of points that both call differently.
      others: (picture, xyxy box, px) of entries that were left out and have a box.
    """

    names: tuple[str, ...]
    people: tuple[Person, ...]
    dropped: Reasons
    changed: Reasons = dataclasses.field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] | None = None
    file: Path | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[Path, np.ndarray], ...] = ()

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files that were or will be read."""
        return (
            *([self.file] if self.file else []),
            *dict.fromkeys(person.image for person in self.people),
        )


def in_names_of(data: Annotations, skeleton: Skeleton) -> Annotations:
    """The annotations under the skeleton's names, where both have the same point of the body.

    Args:
      data: annotations in the names of their file.
      skeleton: whose names to take (``Skeleton.names_of``).
    """
    names = skeleton.names_of(data.names)
    new = dict(zip(data.names, names, strict=True))
    return dataclasses.replace(
        data,
        names=names,
        pairs=None if data.pairs is None else tuple((new[a], new[b]) for a, b in data.pairs),
        renamed=tuple(pair for pair in new.items() if pair[0] != pair[1]),
    )


def describe_renamed(data: Annotations, skeleton: Skeleton) -> str:
    """One line on which points of the file are taken for which of the set; "" for none."""
    if not data.renamed:
        return ""
    listed = [f"{theirs} = {ours}" for theirs, ours in data.renamed]
    return f"names of the file taken for those of {skeleton.name!r}: {', '.join(listed)}"


def describe_dropped(dropped: Reasons) -> str:
    """One line per reason, with the first ids."""
    return "\n".join(_listed("dropped", dropped)) or "nobody dropped"


def describe_changed(changed: Reasons) -> str:
    """One line per change, with the first ids; "" for none."""
    return "\n".join(_listed("changed", changed))


def _listed(what: str, reasons: Reasons) -> list[str]:
    return [
        f"{len(ids)} {what}, {reason}:"
        f" {', '.join(ascii(i).strip(QUOTES)[:40] for i in ids[:MAX_LISTED])}"
        + (", ..." if len(ids) > MAX_LISTED else "")
        for reason, ids in reasons.items()
    ]


def true_roi(person: Person, names: tuple[str, ...], skeleton: Skeleton = BLAZEPOSE) -> ROI | None:
    """The ROI given by a person's labels.

    By the skeleton's ``roi``: ``points``, see ``roi_of_points``; ``box``, see ``roi_of_box``. Where
    a detector (``face``) or a pose net (``net``) gives it, labels give none.

    Args:
      person: the annotation.
      names: of its keypoints.
      skeleton: which points are its centre and up points, or what takes their place.

    Returns:
      ROI of numpy leaves; None where the labels give none.
    """
    if skeleton.roi == "points":
        return roi_of_points(person, names, skeleton)
    return roi_of_box(person) if skeleton.roi == "box" else None


def roi_of_points(person: Person, names: tuple[str, ...], skeleton: Skeleton) -> ROI | None:
    """The ROI by the centre points (mid-hip), the up points (mid-shoulder) and the labelled point
    that is farthest from the centre.

    Args: as for ``true_roi``.

    Returns:
      ROI of numpy leaves; None where a centre or up point is unlabelled.
    """
    index = {name: i for i, name in enumerate(names)}
    needed = [index[name] for name in skeleton.center + skeleton.up if name in index]
    if (
        len(needed) < len(skeleton.center + skeleton.up)
        or (person.visibility_flags[needed] == 0).any()
    ):
        return None
    center = person.keypoints[[index[n] for n in skeleton.center]].mean(0)
    up = person.keypoints[[index[n] for n in skeleton.up]].mean(0) - center
    labelled = person.keypoints[person.visibility_flags > 0]
    radius = np.linalg.norm(labelled - center, axis=-1).max()
    length = np.linalg.norm(up)
    if not (radius > 0 and length > 0):
        return None
    circle = center + radius * up / length
    return jax.tree.map(np.asarray, rois.from_alignment(jnp.asarray(center), jnp.asarray(circle)))


def roi_of_box(person: Person) -> ROI | None:
    """The upright ROI round the annotated box, or, without one, round the labelled points.

    Its circle's radius is half of the box's longer side, so that a point at the box's edge lies
    ``rois.MARGIN`` from the ROI's.

    Args:
      person: the annotation.

    Returns:
      ROI of numpy leaves; None where there is no box, and no labelled points or all in one place.
    """
    if person.box_xyxy is None and not labelled_by_hand(person):
        return None
    box = labelled_box(person) if person.box_xyxy is None else person.box_xyxy
    center, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max()
    if not side > 0:
        return None
    return ROI(
        np.asarray(center, np.float32),
        np.asarray(rois.MARGIN * side, np.float32),
        np.zeros((), np.float32),
    )


def shown_box(box_xyxy: np.ndarray, size: Sequence[float] | np.ndarray) -> np.ndarray | None:
    """(4,) float32 xyxy, px, as it is; None for one that shows nothing of the picture, or lies far.

    Args:
      box_xyxy: (4,) px.
      size: width and height of the picture, px.
    """
    outside = (box_xyxy[2:] <= 0).any() or (box_xyxy[:2] >= np.asarray(size)).any()
    far = np.abs(box_xyxy).max() > 3 * max(size)
    return None if outside or far else box_xyxy.astype(np.float32)


def size_of(person: Person) -> float:
    """The longer side of the box round a person's labelled points, px.

    Where they lie in one place, that of the annotated box; 0 without one.
    """
    boxes = [labelled_box(person), *([] if person.box_xyxy is None else [person.box_xyxy])]
    return next((float(side) for box in boxes if (side := (box[2:] - box[:2]).max()) > 0), 0.0)


def labelled_by_hand(person: Person) -> bool:
    """Whether anything of a person is labelled by hand; not so of whom a net alone labelled."""
    return bool((person.visibility_flags > 0).any())


def labelled_box(person: Person) -> np.ndarray:
    """(4,) float32, image px, xyxy: the box round a person's labelled points."""
    labelled = person.keypoints[person.visibility_flags > 0]
    return np.concatenate([labelled.min(0), labelled.max(0)])
