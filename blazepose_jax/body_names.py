"""BlazePose's name of a point in the spelling of other data sets."""

import functools
from collections import Counter

from blazepose_jax.known_points import BODY_33, HIPS, SHOULDERS
from blazepose_jax.sides import sides_and_rest, words_of

# Words of a name that say nothing of the place.
_FILLERS = {"joint", "point", "keypoint", "kp", "kpt", "pt", "landmark", "body", "person", "human"}
# The other words of a name, sorted -> the part that is meant. Abbreviations are MPII's.
_PARTS = {
    "shoulder": "shoulder",
    "sho": "shoulder",
    "shldr": "shoulder",
    "elbow": "elbow",
    "elb": "elbow",
    "wrist": "wrist",
    "wri": "wrist",
    "hip": "hip",
    "knee": "knee",
    "kne": "knee",
    "ankle": "ankle",
    "ank": "ankle",
    "heel": "heel",
    "footindex": "foot_index",
    "foot index": "foot_index",
    "eye": "eye",
    "eye inner": "eye_inner",
    "eye outer": "eye_outer",
    "ear": "ear",
    "mouth": "mouth",
    "corner mouth": "mouth",
    "pinky": "pinky",
    "pinkie": "pinky",
    "finger little": "pinky",
    "index": "index",
    "finger index": "index",
    "thumb": "thumb",
}
_TRUNK = SHOULDERS + HIPS
# Points that BlazePose lacks -> those among which they lie. "*" stands for the side.
_NEAR: dict[str, tuple[str, ...]] = {
    "neck": SHOULDERS,
    "thorax": SHOULDERS,
    "sternum": SHOULDERS,
    "throat": SHOULDERS,
    "head": ("nose", "left_ear", "right_ear"),
    "head top": ("nose", "left_ear", "right_ear"),
    "headtop": ("nose", "left_ear", "right_ear"),
    "crown head": ("nose", "left_ear", "right_ear"),
    "forehead": ("left_eye", "right_eye"),
    "chin": ("mouth_left", "mouth_right"),
    "chest": _TRUNK,
    "torso": _TRUNK,
    "spine": _TRUNK,
    "belly": _TRUNK,
    "navel": _TRUNK,
    "pelvis": HIPS,
    "root": HIPS,
    "hip mid": HIPS,
    "center hip": HIPS,
    "mid shoulder": SHOULDERS,
    "center shoulder": SHOULDERS,
    "* clavicle": ("*_shoulder",),
    "* collar": ("*_shoulder",),
    "* hand": ("*_wrist", "*_index", "*_pinky"),
    "* palm": ("*_wrist", "*_index", "*_pinky"),
    "* fingertip": ("*_index",),
    "* finger middle": ("*_index", "*_pinky"),
    "* foot": ("*_heel", "*_foot_index"),
    "* toe": ("*_foot_index",),
    "* toes": ("*_foot_index",),
    "* big toe": ("*_foot_index",),
    "* small toe": ("*_foot_index",),
    "* bigtoe": ("*_foot_index",),
    "* smalltoe": ("*_foot_index",),
    "* eyebrow": ("*_eye",),
    "* forearm": ("*_elbow", "*_wrist"),
    "* thigh": ("*_hip", "*_knee"),
    "* shin": ("*_knee", "*_ankle"),
    "* calf": ("*_knee", "*_ankle"),
}


@functools.lru_cache(maxsize=256)
def recognised_body_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Recognise BlazePose's points by their spelling.

    ``L_Shoulder``, ``shoulder.R``, ``lsho`` and ``RightInnerEye`` are known, ``chest`` is none.

    Args:
      names: of K keypoints.

    Returns:
      K of BlazePose's names; "" where a name is none of them, or where two are taken for the same.
    """
    found = [name if name in BODY_33 else _body_name(name) for name in names]
    counts = Counter(found)
    return tuple(
        body if body == name or counts[body] == 1 else ""
        for name, body in zip(names, found, strict=True)
    )


def recognised_near(name: str) -> tuple[str, ...]:
    """BlazePose's points among which a point lies that it lacks; () where nothing is known."""
    if near := _NEAR.get(_key(words_of(name))):
        return near
    found = {
        (side, _NEAR[key])
        for side, rest in sides_and_rest(name)
        if (key := f"* {_key(rest)}") in _NEAR
    }
    if len(found) != 1:
        return ()
    [(side, near)] = found
    return tuple(point.replace("*", ("left", "right")[side]) for point in near)


def _body_name(name: str) -> str:
    """One of BlazePose's names, or ""."""
    if _key(words_of(name)) == "nose":
        return "nose"
    if "rear" in words_of(name):  # the back of an animal, no right ear
        return ""
    found = {
        (side, _PARTS[_key(rest)]) for side, rest in sides_and_rest(name) if _key(rest) in _PARTS
    }
    if len(found) != 1:
        return ""
    [(side, part)] = found
    word = ("left", "right")[side]
    return f"mouth_{word}" if part == "mouth" else f"{word}_{part}"


def _key(words: tuple[str, ...]) -> str:
    """Words in a fixed order, without numbers and fillers."""
    return " ".join(sorted(word for word in words if not word.isdecimal() and word not in _FILLERS))
