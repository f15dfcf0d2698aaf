"""Files of COCO data sets: where annotations and pictures lie, and how labels fit the pictures."""

import collections
import os
from pathlib import Path

from blazepose_jax.data.coco_file import CocoFile
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.images import is_turned, picture_size

SAME_ASPECT = 0.02  # relative; pictures are scaled to whole pixels

# Path of a picture, its size as it is shown, and whether EXIF turns it for that.
Found = tuple[Path, tuple[int, int], bool]


def annotation_file(folder: Path) -> Path:
    """The JSON file of a data set.

    Args:
      folder: of the data set, or the path of the file itself.

    Raises:
      BlazePoseError: there is none, or several.
    """
    if not os.path.isdir(folder):
        if not os.path.isfile(folder):
            raise BlazePoseError(
                f"{str(folder)!r} does not exist: give a folder with annotations.json in COCO's "
                "format"
            )
        return folder
    patterns = (
        "annotations.json",
        "annotations/person_keypoints_*.json",
        "annotations/*.json",
        "*.json",
    )
    for pattern in patterns:
        found = sorted(p for p in folder.glob(pattern) if p.is_file())
        if len(found) == 1:
            return found[0]
        if found:
            raise BlazePoseError(
                f"{str(folder)!r} holds several annotation files ({found[0].name}, {found[1].name},"
                " ...): give the path of one"
            )
    raise BlazePoseError(
        f"{str(folder)!r} does not exist: give a folder with annotations.json in COCO's format"
        if not folder.exists()
        else (
            f"{str(folder)!r} holds no annotations.json, and no annotations/*.json: give a folder"
            " or file in COCO's format"
        )
    )


class Pictures:
    """Paths and sizes of a file's pictures; each is looked for once."""

    def __init__(self, file: CocoFile, images: str | Path | None):
        """Choose the folders to look in.

        Those beside the file, in ``images`` there, and in COCO's own layout.

        Args:
          file: the annotations.
          images: a further folder, or None.
        """
        base, stem = Path(os.path.abspath(file.path.parent)), file.path.stem
        split = stem.rpartition("_")[2]
        roots = [base, base / "images", base / split, base / "images" / split]
        if base.name == "annotations":  # COCO's own layout
            roots += [
                base.parent,
                base.parent / "images",
                base.parent / split,
                base.parent / "images" / split,
            ]
        if images is not None:
            given = Path(os.path.abspath(images))
            roots = [given, given / split, *roots]
        self._roots = [root for root in dict.fromkeys(roots) if root.is_dir()]
        names = [image.file_name.rpartition("/")[2] for image in file.images.values()]
        self._unique = {name for name, count in collections.Counter(names).items() if count == 1}
        self._found: dict[str, Found | str] = {}

    def find(self, name: str) -> Found | str:
        """The picture of a file name, or why there is none."""
        if name not in self._found:
            self._found[name] = self._look(name)
        return self._found[name]

    def _look(self, name: str) -> Found | str:
        outside = False
        last = name.rpartition("/")[2]
        for place in (name, *([last] if last != name and last in self._unique else [])):
            for root in self._roots:
                try:
                    path = Path(os.path.normpath(root / place))
                    if not path.is_file():
                        continue
                except (OSError, ValueError):  # names that no system takes
                    continue
                if not any(path.is_relative_to(allowed) for allowed in self._roots):
                    outside = True
                    continue
                try:
                    return path, picture_size(path), is_turned(path)
                except BlazePoseError:
                    return "broken image"
        if outside:
            return "image outside of the folder: allow it with --images"
        return f"image file missing (looked in {', '.join(str(root) for root in self._roots[:4])})"


def label_scale(
    stated: tuple[float, float] | None, size: tuple[int, int], turned: bool
) -> tuple[float, float] | None:
    """Factors that bring labels to px of the picture.

    Args:
      stated: width and height by the annotation file, or None. Tools that ignore EXIF's orientation
        state those of a turned picture the other way round.
      size: of the picture as it is shown.
      turned: EXIF turns it for that.

    Returns:
      Factors of x and y; None where the picture is not the one that the file describes.
    """
    for width, height in [stated, stated[::-1]][: 1 + turned] if stated else [size]:
        if abs(width - size[0]) <= 1 and abs(height - size[1]) <= 1:
            return 1.0, 1.0
        across, down = size[0] / width, size[1] / height
        if abs(across / down - 1) <= SAME_ASPECT:
            return across, down
    return None
