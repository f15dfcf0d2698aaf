"""Keypoint sets as data: names, bones, left and right, and the points that place the ROI."""

import dataclasses
import json
import re
from typing import Any

from blazepose_jax.errors import BlazePoseError, check_name


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """A set of K body keypoints.

    Attributes:
      name: of the set.
      keypoints: K names.
      bones: pairs of names, to draw.
      center: names whose mean is the centre of the ROI.
      up: names whose mean lies above the centre when the person stands upright.
      auxiliary: names of further points that a network predicts after the K; if the first two are ``roi_center``
        and ``roi_circle`` they place the ROI in place of ``center`` and ``up``.
    """

    name: str
    keypoints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]
    center: tuple[str, ...]
    up: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()

    def __post_init__(self):
        names = set(self.keypoints)
        used = {n for bone in self.bones for n in bone} | set(self.center) | set(self.up)
        if len(names) != len(self.keypoints):
            raise BlazePoseError(f"skeleton {self.name!r} names a keypoint twice: each name may occur once")
        if unknown := sorted(used - names):
            raise BlazePoseError(f"skeleton {self.name!r} uses {unknown[0]!r}, which is none of its keypoints: add it")
        if not (self.center and self.up):
            raise BlazePoseError(f"skeleton {self.name!r} needs center and up points: without them it has no ROI")

    def indices(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Positions of ``names`` among the keypoints."""
        return tuple(self.keypoints.index(name) for name in names)

    @property
    def bone_indices(self) -> tuple[tuple[int, int], ...]:
        """The bones as pairs of keypoint positions."""
        return tuple((self.keypoints.index(a), self.keypoints.index(b)) for a, b in self.bones)

    @property
    def flip(self) -> tuple[int, ...]:
        """(K + auxiliary,) positions after a left/right swap: the partner of ``left_x`` is ``right_x``."""
        names = self.keypoints + self.auxiliary
        swapped = [re.sub(r"^(left|right)|(left|right)$",
                          lambda m: "right" if m.group() == "left" else "left", n) for n in names]
        return tuple(names.index(s) if s in names else i for i, s in enumerate(swapped))

    @property
    def has_roi_points(self) -> bool:
        """Whether a network for this skeleton predicts where to look next."""
        return self.auxiliary[:2] == ROI_POINTS

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Skeleton":
        """Inverse of ``to_dict``.

        Raises:
          BlazePoseError: a field is missing, unknown or inconsistent.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise BlazePoseError(f"skeleton has the unknown field {unknown[0]!r}: known are {', '.join(sorted(known))}")
        if missing := sorted(known - {"auxiliary"} - set(data)):
            raise BlazePoseError(f"skeleton lacks the field {missing[0]!r}: add it")
        tuples: dict[str, Any] = {k: tuple(tuple(v) if isinstance(v, list) else v for v in value)
                                  for k, value in data.items() if k != "name"}
        return cls(name=data["name"], **tuples)


def read_skeleton(name: str) -> Skeleton:
    """A skeleton by name (``blazepose``, ``coco``, ``lsp``), or from the text of a JSON file.

    Args:
      name: a name, or JSON text of ``Skeleton.to_dict``.

    Returns:
      Skeleton.

    Raises:
      BlazePoseError: unknown name, no JSON, or an inconsistent skeleton.
    """
    if not name.lstrip().startswith("{"):
        return SKELETONS[check_name(name, SKELETONS, "skeleton")]
    try:
        data = json.loads(name)
    except json.JSONDecodeError as error:
        raise BlazePoseError(f"the skeleton file is no JSON ({error}): write an object with name, keypoints, bones, "
                             "center and up") from error
    return Skeleton.from_dict(data)


ROI_POINTS = ("roi_center", "roi_circle")
BODY_33 = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)
_LIMBS = tuple((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle")))
_TORSO = (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"))
_FACE_33 = (("mouth_left", "mouth_right"), *(
    (f"{side}_{a}" if a != "nose" else a, f"{side}_{b}") for side in ("left", "right") for a, b in (
        ("nose", "eye_inner"), ("eye_inner", "eye"), ("eye", "eye_outer"), ("eye_outer", "ear"))))
_EXTREMITIES = tuple((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (
    ("wrist", "pinky"), ("wrist", "index"), ("wrist", "thumb"), ("pinky", "index"), ("ankle", "heel"),
    ("heel", "foot_index"), ("ankle", "foot_index")))
_HIPS, _SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")

# The paper's 33 points, and the six rows that the released nets predict after them (four are used by nothing).
BLAZEPOSE = Skeleton("blazepose", BODY_33, _FACE_33 + _TORSO + _LIMBS + _EXTREMITIES, _HIPS, _SHOULDERS,
                     auxiliary=(*ROI_POINTS, "unused_0", "unused_1", "unused_2", "unused_3"))
COCO = Skeleton(
    "coco", ("nose", "left_eye", "right_eye", "left_ear", "right_ear", *(
        f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right"))),
    (("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"), *_TORSO,
     *_LIMBS), _HIPS, _SHOULDERS)
LSP = Skeleton(
    "lsp", ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist",
            "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top"),
    (("neck", "head_top"), *_TORSO, *_LIMBS), _HIPS, _SHOULDERS)
SKELETONS = {s.name: s for s in (BLAZEPOSE, COCO, LSP)}
