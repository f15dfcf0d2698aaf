"""Keypoint sets of ``blazepose data prepare``: where they come from, and whether the data fits."""

import dataclasses
from pathlib import Path

from blazepose_jax.data.annotations import Annotations
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.json_files import read_json
from blazepose_jax.skeleton import SKELETONS, Skeleton, read_skeleton


def load_skeleton(name: str) -> Skeleton:
    """A skeleton by name, or from a JSON file.

    Raises:
      BlazePoseError: unknown, unreadable or inconsistent.
    """
    if name.lower().endswith(".json"):
        try:
            return Skeleton.from_dict(read_json(Path(name)))
        except BlazePoseError as error:
            raise BlazePoseError(
                str(error) if name in str(error) else f"{name}: {error}"
            ) from error
    return read_skeleton(name)


def with_pairs_of(skeleton: Skeleton, data: Annotations) -> Skeleton:
    """An own set without ``pairs`` takes those of the annotations' flip_indices."""
    if data.pairs is None or skeleton.pairs is not None or skeleton.name in SKELETONS:
        return skeleton
    names = set(skeleton.keypoints)
    if any(len(names & set(pair)) == 1 for pair in data.pairs):
        # The set has one side of something, whose mirror image is none of its points.
        return dataclasses.replace(skeleton, pairs=())
    pairs = tuple(pair for pair in data.pairs if set(pair) <= names)
    recognised = {frozenset(pair) for pair in skeleton.left_right}
    if not pairs or {frozenset(pair) for pair in pairs} == recognised:
        return skeleton
    return dataclasses.replace(skeleton, pairs=pairs)


def check_names(skeleton: Skeleton, data: Annotations, has_teacher: bool = False) -> None:
    """Refuse data of which no record could be made, or none that teaches anything.

    Without this check everybody would be dropped for points that nobody has labelled.

    Args:
      skeleton: of the records.
      data: annotations, in the skeleton's names.
      has_teacher: a trained net finds the ROI where labels give none.

    Raises:
      BlazePoseError: the data shares no point with the set, or lacks what places the ROI.
    """
    if not set(skeleton.keypoints) & set(data.names):
        raise BlazePoseError(
            f"the data has no keypoint of the set {skeleton.name!r}, such as"
            f" {skeleton.keypoints[0]!r}: it has {', '.join(data.names[:8])}; name a set of these"
            " with --skeleton FILE.json, or rename them"
        )
    if has_teacher:
        return
    if skeleton.roi in ("face", "net"):
        raise BlazePoseError(
            f'the set {skeleton.name!r} has "roi": "{skeleton.roi}", so labels give no ROI: name'
            " the weights that find it with --teacher W"
        )
    if skeleton.roi != "points":
        return
    if lacking := [name for name in skeleton.center + skeleton.up if name not in data.names]:
        raise BlazePoseError(
            f"the data has no keypoint {lacking[0]!r}, which places the ROI of the set "
            f"{skeleton.name!r}: it has {', '.join(data.names[:8])}; name a set of these with "
            "--skeleton FILE.json, or rename them"
        )
