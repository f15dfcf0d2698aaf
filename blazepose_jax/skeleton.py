"""Keypoint sets: names, bones, left and right, and the points that place the ROI."""

import dataclasses
from typing import Any

from blazepose_jax.body_names import recognised_body_names, recognised_near
from blazepose_jax.errors import BlazePoseError, check_name, suggestion
from blazepose_jax.known_points import (
    BODY_33,
    BONES_14,
    BONES_17,
    BONES_33,
    COCO_17,
    HIPS,
    LSP_14,
    SHOULDERS,
)
from blazepose_jax.sides import recognised_pairs
from blazepose_jax.skeleton_file import ROI_RULES, check_fields, parse_text, to_fields

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
      center: names whose mean is the centre of the ROI; () where ``roi`` is not ``points``.
      up: names whose mean lies above the centre when the person stands upright; () likewise.
      auxiliary: names of further points that a network predicts after the K; if the first two are
        ``roi_center`` and ``roi_circle`` they place the ROI in place of ``center`` and ``up``.
      pairs: (left, right) names that change places in a mirror; None to recognise them by their
        spelling.
      like: (own name, BlazePose's name of the same point, or "" for none); those of points that are
        not listed are recognised by their spelling.
      near: (own name, names, BlazePose's or own, near or between which it lies).
      roi: where the ROI of a labelled person comes from, one of ``ROI_RULES``.
      sigmas: K falloffs of OKS, in shares of the person's size; None for COCO's, by name.
    """

    name: str
    keypoints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]
    center: tuple[str, ...]
    up: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] | None = None
    like: tuple[tuple[str, str], ...] = ()
    near: tuple[tuple[str, tuple[str, ...]], ...] = ()
    roi: str = "points"
    sigmas: tuple[float, ...] | None = None

    def __post_init__(self):
        if problem := self._problem():
            raise BlazePoseError(f"skeleton {self.name!r} {problem}")

    def _problem(self) -> str | None:
        """What the fields say against one another."""
        count, names = len(self.keypoints), set(self.keypoints)
        paired = [name for pair in self.pairs or () for name in pair]
        used = {name for bone in self.bones for name in bone} | {*self.center, *self.up, *paired}
        used |= {name for name, _ in self.like + self.near}
        if not 0 < count <= MAX_KEYPOINTS:
            return f"has {count} keypoints: it must have from 1 to {MAX_KEYPOINTS}"
        if len(names | set(self.auxiliary)) != count + len(self.auxiliary):
            return "names a keypoint twice: each name may occur once"
        if unknown := sorted(used - names):
            return f"uses {unknown[0]!r}, which is none of its keypoints: add it"
        if len(set(paired)) != len(paired):
            return "pairs a keypoint twice: each has one partner in a mirror"
        if self.sigmas is not None and not (
            len(self.sigmas) == count and all(0 < sigma < 1 for sigma in self.sigmas)
        ):
            return f"has the sigmas {self.sigmas}: give {count} numbers between 0 and 1"
        return self._problem_of_likeness(names) or self._problem_of_roi()

    def _problem_of_likeness(self, names: set[str]) -> str | None:
        """What is wrong with ``like`` and ``near``."""
        bodies = [body for _, body in self.like if body]
        places = [place for _, near in self.near for place in near]
        if unknown := [body for body in bodies if body not in BODY_33]:
            remedy = suggestion(unknown[0], BODY_33) or "blazepose_jax.BLAZEPOSE.keypoints has them"
            return (
                f"has a point like {unknown[0]!r}, which is none of BlazePose's 33 points: {remedy}"
            )
        if unknown := [place for place in places if place not in BODY_33 and place not in names]:
            return (
                f"has a point near {unknown[0]!r}, which is neither one of its keypoints nor of "
                f"BlazePose's 33: {suggestion(unknown[0], (*BODY_33, *self.keypoints)) or 'add it'}"
            )
        if twice := sorted({body for body in bodies if bodies.count(body) > 1}):
            return f"has two points like {twice[0]!r}: only one can be"
        return None

    def _problem_of_roi(self) -> str | None:
        """What is wrong with ``center``, ``up`` and ``roi``."""
        if self.roi not in ROI_RULES:
            return f"has the roi {self.roi!r}: it is one of {', '.join(ROI_RULES)}"
        if self.roi != "points" and not (self.center or self.up):
            return None
        if not (self.center and self.up):
            return (
                "needs center and up points: without them it has no ROI; or give"
                ' "roi": "box", "face" or "net" in their place'
            )
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
    def body_names(self) -> tuple[str, ...]:
        """(K,) BlazePose's name of the same point, or "": by ``like``, else by spelling."""
        given = dict(self.like)
        found = recognised_body_names(self.keypoints)
        return tuple(
            given.get(name, "" if body in given.values() else body)
            for name, body in zip(self.keypoints, found, strict=True)
        )

    @property
    def near_names(self) -> tuple[tuple[str, ...], ...]:
        """(K,) BlazePose's points near or between which a point lies.

        By ``near``, else by its name, else those at the other ends of its bones; () where nothing
        is known, and for points that are BlazePose's.
        """
        given, bodies = dict(self.near), dict(zip(self.keypoints, self.body_names, strict=True))

        def of(name: str) -> tuple[str, ...]:
            if bodies[name]:
                return ()
            linked = [a if b == name else b for a, b in self.bones if name in (a, b)]
            near = given.get(name) or recognised_near(name) or linked
            return tuple(filter(None, (bodies.get(place, place) for place in near)))

        return tuple(of(name) for name in self.keypoints)

    def describe_likeness(self) -> str:
        """One line on which points are BlazePose's, and where the others lie."""
        rows = list(zip(self.keypoints, self.body_names, self.near_names, strict=True))
        known = [f"{name} = {body}" for name, body, _ in rows if body and body != name]
        same = sum(name == body for name, body, _ in rows)
        fresh = [
            f"{name} (near {', '.join(near)})" if near else f"{name} (nowhere near)"
            for name, body, near in rows
            if not body
        ]
        parts = [f"{same} by BlazePose's own names"] if same else []
        parts += [", ".join(known)] if known else []
        parts += [f"new: {', '.join(fresh)}"] if fresh else []
        return f"points: {'; '.join(parts)}"

    def names_of(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The names of another set's points, this set's name where both are the same body point.

        Args:
          names: of the other set.

        Returns:
          As many names.
        """
        own = {body: name for name, body in zip(self.keypoints, self.body_names, strict=True)}
        own.pop("", None)

        def of(name: str, body: str) -> str:
            mine = own.get(body, name)
            return name if name in self.keypoints or mine in names else mine

        return tuple(map(of, names, recognised_body_names(names)))

    def with_roi_points(self) -> "Skeleton":
        """The set with the two points that place the ROI among its auxiliary ones."""
        if self.has_roi_points:
            return self
        others = tuple(name for name in self.auxiliary if name not in ROI_POINTS)
        return dataclasses.replace(self, auxiliary=ROI_POINTS + others)

    @property
    def has_roi_points(self) -> bool:
        """Whether a network for this skeleton predicts where to look next."""
        return self.auxiliary[:2] == ROI_POINTS

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return to_fields(dataclasses.asdict(self))

    @classmethod
    def from_dict(cls, data: object) -> "Skeleton":
        """Inverse of ``to_dict``.

        Raises:
          BlazePoseError: a field is missing, unknown, mistyped or inconsistent.
        """
        return cls(**check_fields(data))


# The paper's 33 points, and the six rows that the released nets predict after them (four are used
# by nothing).
BLAZEPOSE = Skeleton(
    "blazepose",
    BODY_33,
    BONES_33,
    HIPS,
    SHOULDERS,
    auxiliary=(*ROI_POINTS, "unused_0", "unused_1", "unused_2", "unused_3"),
)
COCO = Skeleton("coco", COCO_17, BONES_17, HIPS, SHOULDERS)
LSP = Skeleton("lsp", LSP_14, BONES_14, HIPS, SHOULDERS)
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
