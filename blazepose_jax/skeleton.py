"""Keypoint sets: names, bones, left and right, and the points that place the ROI."""

import dataclasses
from typing import Any

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.sides import recognised_pairs
from blazepose_jax.skeleton_file import check_fields, parse_text

MAX_KEYPOINTS = 1000
# Names of the auxiliary points that place the ROI (docs/mediapipe.md, 3.6).
ROI_POINTS = ("roi_center", "roi_circle")


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """A set of K body keypoints.

    Attributes:
      name: of the set.
      keypoints: K names, in any spelling.
      bones: pairs of names, to draw.
      center: names whose mean is the centre of the ROI.
      up: names whose mean lies above the centre when the person stands upright.
      auxiliary: names of further points that a network predicts after the K; if the first two are
        ``roi_center`` and ``roi_circle`` they place the ROI in place of ``center`` and ``up``.
      pairs: (left, right) names that change places in a mirror; None to recognise them by their
        spelling.
    """

    name: str
    keypoints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]
    center: tuple[str, ...]
    up: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] | None = None

    def __post_init__(self):
        if problem := self._problem():
            raise BlazePoseError(f"skeleton {self.name!r} {problem}")

    def _problem(self) -> str | None:
        """What the fields say against one another."""
        count, names = len(self.keypoints), set(self.keypoints)
        paired = [name for pair in self.pairs or () for name in pair]
        used = {name for bone in self.bones for name in bone} | {*self.center, *self.up, *paired}
        if not 0 < count <= MAX_KEYPOINTS:
            return f"has {count} keypoints: it must have from 1 to {MAX_KEYPOINTS}"
        if len(names | set(self.auxiliary)) != count + len(self.auxiliary):
            return "names a keypoint twice: each name may occur once"
        if unknown := sorted(used - names):
            return f"uses {unknown[0]!r}, which is none of its keypoints: add it"
        if len(set(paired)) != len(paired):
            return "pairs a keypoint twice: each has one partner in a mirror"
        if not (self.center and self.up):
            return "needs center and up points: without them it has no ROI"
        if set(self.center) == set(self.up):
            return (
                "has the same points as center and up: up must lie above the centre, or the ROI has"
                " no direction"
            )
        return None

    def indices(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Positions of ``names`` among the keypoints."""
        return tuple(self.keypoints.index(name) for name in names)

    @property
    def bone_indices(self) -> tuple[tuple[int, int], ...]:
        """The bones as pairs of keypoint positions."""
        return tuple((self.keypoints.index(a), self.keypoints.index(b)) for a, b in self.bones)

    @property
    def left_right(self) -> tuple[tuple[str, str], ...]:
        """(left, right) names: ``pairs``, or, where that is None, those recognised by spelling."""
        return recognised_pairs(self.keypoints)[0] if self.pairs is None else self.pairs

    @property
    def one_sided(self) -> tuple[str, ...]:
        """Names that look like one side of a pair without its other side; empty with ``pairs``."""
        return recognised_pairs(self.keypoints)[1] if self.pairs is None else ()

    @property
    def mirrors(self) -> bool:
        """Whether the mirror image of a person is labelled rightly by swapping ``left_right``."""
        return bool(self.left_right) and not self.one_sided

    @property
    def flip(self) -> tuple[int, ...]:
        """(K + auxiliary,) positions after a left/right swap."""
        names = self.keypoints + self.auxiliary
        partner = {a: b for pair in self.left_right for a, b in (pair, pair[::-1])}
        return tuple(names.index(partner.get(name, name)) for name in names)

    @property
    def sides(self) -> tuple[str, ...]:
        """(K,) ``left``, ``right`` or, for what lies in the middle, ``""``."""
        side = {
            name: word
            for pair in self.left_right
            for name, word in zip(pair, ("left", "right"), strict=True)
        }
        return tuple(side.get(name, "") for name in self.keypoints)

    def describe_sides(self) -> str:
        """One line on what swaps in a mirror, or why nothing does."""
        if self.mirrors:
            listed = [f"{a} <-> {b}" for a, b in self.left_right[:4]] + (
                ["..."] if len(self.left_right) > 4 else []
            )
            return f"left and right: {len(self.left_right)} pairs ({', '.join(listed)})"
        why = (
            f"{self.one_sided[0]!r} has no other side"
            if self.one_sided
            else "no left and right names were found"
        )
        return (
            f'left and right: {why}, so mirroring is off; give "pairs" in the skeleton file to'
            " change it"
        )

    @property
    def has_roi_points(self) -> bool:
        """Whether a network for this skeleton predicts where to look next."""
        return self.auxiliary[:2] == ROI_POINTS

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            k: v for k, v in dataclasses.asdict(self).items() if not (k == "pairs" and v is None)
        }

    @classmethod
    def from_dict(cls, data: object) -> "Skeleton":
        """Inverse of ``to_dict``.

        Raises:
          BlazePoseError: a field is missing, unknown, mistyped or inconsistent.
        """
        return cls(**check_fields(data))


BODY_33 = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)


def _both_sides(*bones: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The bones of a left side, then those of a right one; the nose belongs to both."""
    return tuple(
        (a if a == "nose" else f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in bones
    )


_HIPS, _SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
_TORSO = (_SHOULDERS, _HIPS)
_LIMBS = _both_sides(
    ("shoulder", "elbow"),
    ("elbow", "wrist"),
    ("shoulder", "hip"),
    ("hip", "knee"),
    ("knee", "ankle"),
)
_FACE_33 = (
    ("mouth_left", "mouth_right"),
    *_both_sides(
        ("nose", "eye_inner"), ("eye_inner", "eye"), ("eye", "eye_outer"), ("eye_outer", "ear")
    ),
)
_EXTREMITIES = _both_sides(
    ("wrist", "pinky"),
    ("wrist", "index"),
    ("wrist", "thumb"),
    ("pinky", "index"),
    ("ankle", "heel"),
    ("heel", "foot_index"),
    ("ankle", "foot_index"),
)

# The paper's 33 points, and the six rows that the released nets predict after them (four are used
# by nothing).
BLAZEPOSE = Skeleton(
    "blazepose",
    BODY_33,
    _FACE_33 + _TORSO + _LIMBS + _EXTREMITIES,
    _HIPS,
    _SHOULDERS,
    auxiliary=(*ROI_POINTS, "unused_0", "unused_1", "unused_2", "unused_3"),
)
COCO = Skeleton(
    "coco",
    (
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        *(
            f"{side}_{joint}"
            for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
            for side in ("left", "right")
        ),
    ),
    (
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        ("left_eye", "left_ear"),
        ("right_eye", "right_ear"),
        *_TORSO,
        *_LIMBS,
    ),
    _HIPS,
    _SHOULDERS,
)
LSP = Skeleton(
    "lsp",
    (
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "neck",
        "head_top",
    ),
    (("neck", "head_top"), *_TORSO, *_LIMBS),
    _HIPS,
    _SHOULDERS,
)
SKELETONS = {s.name: s for s in (BLAZEPOSE, COCO, LSP)}


def read_skeleton(name: str) -> Skeleton:
    """A skeleton by name (``blazepose``, ``coco``, ``lsp``), or from JSON text.

    Args:
      name: a name, or JSON text of ``Skeleton.to_dict``.

    Returns:
      Skeleton.

    Raises:
      BlazePoseError: unknown name, no JSON, or an inconsistent skeleton.
    """
    text = name.lstrip("\ufeff \t\r\n")
    if not text.startswith(("{", "[")):
        return SKELETONS[check_name(name, SKELETONS, "skeleton")]
    return Skeleton.from_dict(parse_text(text))
