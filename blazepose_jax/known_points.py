"""Names and bones of well-known keypoint sets, as plain tuples."""

Bones = tuple[tuple[str, str], ...]

# The paper's 33 points, in the order of the released nets' rows.
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
COCO_17 = (
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
)
LSP_14 = (
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
)


def _both_sides(*bones: tuple[str, str]) -> Bones:
    """The bones of a left side, then those of a right one; the nose belongs to both."""
    return tuple(
        (a if a == "nose" else f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in bones
    )


HIPS, SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
_TORSO = (SHOULDERS, HIPS)
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
_FACE_17 = (
    ("nose", "left_eye"),
    ("nose", "right_eye"),
    ("left_eye", "left_ear"),
    ("right_eye", "right_ear"),
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
BONES_33: Bones = _FACE_33 + _TORSO + _LIMBS + _EXTREMITIES
BONES_17: Bones = _FACE_17 + _TORSO + _LIMBS
BONES_14: Bones = (("neck", "head_top"), *_TORSO, *_LIMBS)
