"""TFDS data sets row by row, without TensorFlow, and mappings of their features."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from blazepose_jax.errors import BlazePoseError, check_name

BOX_FORMS = ("xyxy", "yxyx", "xywh")
# Words of a mapping that name no feature -> what they may be, the default first.
CHOICES = {"units": ("pixels", "normalised"), "order": ("xy", "yx"), "box_form": BOX_FORMS}
FEATURES = ("image", "keypoints", "visibility", "box", "group")


@dataclasses.dataclass(frozen=True)
class Mapping:
    """Which features of a TFDS data set are what; those inside of others by ``outer/inner``.

    Attributes:
      image: an image, or a uint8 tensor (H, W, 3).
      keypoints: (K, 2), or (K, 3) with visibility, of one person, or of several with an axis before
        that; or flat.
      visibility: (K,) likewise: 2 visible, 1 labelled but hidden, 0 unlabelled; where the set has
        nothing above 1, what is above 0 is visible.
      box: (4,) likewise.
      group: text or a number; people of one group are held out together.
      units: of points and boxes: ``pixels``, or ``normalised``, from 0 to 1.
      order: of a point's numbers, ``xy`` or ``yx``.
      box_form: ``xyxy``, ``yxyx`` or ``xywh``; a BBoxFeature is yxyx, normalised, whatever this and
        ``units`` say.
    """

    image: str
    keypoints: str
    visibility: str = ""
    box: str = ""
    group: str = ""
    units: str = "pixels"
    order: str = "xy"
    box_form: str = "xyxy"


def parse_mapping(text: str) -> Mapping:
    """A mapping like ``image=IMAGE,keypoints=POINTS,units=normalised``.

    Raises:
      BlazePoseError: an unknown word or choice, a word given twice, or no image or keypoints.
    """
    words: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = (side.strip() for side in part.partition("="))
        if not (equals and value):
            raise BlazePoseError(
                f"mapping has {part!r}: write word=feature, like image=image,keypoints=points"
            )
        check_name(name, (*FEATURES, *CHOICES), "word of the mapping")
        if name in words:
            raise BlazePoseError(f"mapping gives {name!r} twice: leave one out")
        if name in CHOICES:
            check_name(value, CHOICES[name], f"{name} of the mapping")
        words[name] = value
    if lacking := [name for name in ("image", "keypoints") if name not in words]:
        raise BlazePoseError(f"mapping lacks {lacking[0]!r}: name the feature that holds it")
    return Mapping(**words)


def open_examples(
    source: str, split: str, mapping: Mapping
) -> tuple[Iterator[dict[str, Any]], str]:
    """Open a data set that TFDS has prepared.

    Args:
      source: the folder with its dataset_info.json, or its name.
      split: like ``train`` or ``train[:10%]``.
      mapping: of its features.

    Returns:
      The examples with pictures still encoded, and ``yxyx`` where the box is a BBoxFeature, or "".

    Raises:
      BlazePoseError: no such data set, split or feature, or one that is not in array_record.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise BlazePoseError(
            "TFDS data sets need tensorflow_datasets: pip install 'blazepose_jax[train]'"
        ) from error
    try:
        is_folder = (Path(source) / "dataset_info.json").is_file()
        builder = tfds.builder_from_directory(source) if is_folder else tfds.builder(source)
        splits = list(builder.info.splits)
        features: Any = builder.info.features
    except Exception as error:  # whatever TFDS makes of a damaged or unknown data set
        raise BlazePoseError(
            f"TFDS cannot open {source!r} ({_first_line(error)}): give the folder with its"
            " dataset_info.json, or the name of a set that is prepared"
        ) from error
    if not splits:
        raise BlazePoseError(
            f"{source!r} is not prepared: run TFDS's download_and_prepare(file_format="
            "'array_record') first"
        )
    check_name(split.partition("[")[0], splits, f"split of {source}")
    names = _feature_names(features)
    for word in FEATURES:
        if name := getattr(mapping, word):
            check_name(name, names, f"feature of {source}")
    decoders: Any = tfds.decode.SkipDecoding()
    if not isinstance(names[mapping.image], tfds.features.Image):
        decoders = None
    for part in reversed(mapping.image.split("/")) if decoders else ():
        decoders = {part: decoders}
    try:
        read: Any = builder.as_data_source
        rows: Sequence[dict[str, Any]] = read(split=split, decoders=decoders)
    except Exception as error:  # files of another format, a damaged one
        raise BlazePoseError(
            f"TFDS cannot read {source!r} row by row ({_first_line(error)}): prepare it with"
            " file_format='array_record'"
        ) from error
    is_box = bool(mapping.box) and isinstance(names[mapping.box], tfds.features.BBoxFeature)
    return (rows[i] for i in range(len(rows))), "yxyx" if is_box else ""


def _feature_names(features: Any, before: str = "") -> dict[str, Any]:
    """{path: feature} of everything that is no group of others."""
    inner = getattr(features, "feature", features)
    if not hasattr(inner, "keys"):
        return {before: inner if before else features}
    found = [_feature_names(inner[key], f"{before}/{key}".lstrip("/")) for key in inner]
    return dict(itertools.chain.from_iterable(names.items() for names in found))


def feature_of(example: dict[str, Any], path: str) -> Any:
    """What an example holds at ``outer/inner``."""
    for part in path.split("/"):
        example = example[part]
    return example


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
