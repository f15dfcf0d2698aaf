"""Annotated people."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

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
    """

    id: int
    image: Path
    keypoints: np.ndarray
    visibility_flags: np.ndarray
    area: float
    data_set: str
    group: str = ""
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Annotations:
    """People of one data set.

    Attributes:
      names: of the n keypoints, as the file has them.
      people: the usable ones, in the order of the file.
      dropped: who was left out, by reason.
      changed: what was read differently from what the file says, by kind of change.
      pairs: (left, right) names by the file's flip_indices, or None.
      file: of the annotations, or None.
    """

    names: tuple[str, ...]
    people: tuple[Person, ...]
    dropped: Reasons
    changed: Reasons = dataclasses.field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] | None = None
    file: Path | None = None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files that were or will be read."""
        return (
            *([self.file] if self.file else []),
            *dict.fromkeys(person.image for person in self.people),
        )


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

    It follows from the centre points (mid-hip), the up points (mid-shoulder) and the labelled point
    that is farthest from the centre.

    Args:
      person: the annotation.
      names: of its keypoints.
      skeleton: which points are its centre and up points.

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
