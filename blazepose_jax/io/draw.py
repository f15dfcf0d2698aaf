"""Drawings: skeletons, points, contact sheets, and the pictures written of them."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import written
from blazepose_jax.io.frames import as_rgb
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import Array, Parts, Poses

LEFT, RIGHT, MIDDLE = (255, 138, 0), (0, 217, 231), (255, 255, 255)
# Of the rings round the keypoints: twelve people can be distinguished.
RINGS = (
    (66, 133, 244),
    (219, 68, 55),
    (244, 180, 0),
    (15, 157, 88),
    (171, 71, 188),
    (0, 172, 193),
    (255, 112, 67),
    (158, 157, 36),
    (92, 107, 192),
    (240, 98, 146),
    (0, 121, 107),
    (194, 24, 91),
)
# Confidences of points that are drawn in full and as faint as any; alpha grows evenly between them.
OPAQUE_FROM, FAINT_UNTIL = 0.8, 0.2
CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))
FAINTEST = 0.3  # alpha; on busy pictures less is not seen


def draw_poses(
    image: np.ndarray,
    poses: Poses,
    skeleton: Skeleton,
    *,
    min_visibility: float = 0.5,
    fade: bool = True,
) -> np.ndarray:
    """Draw skeletons: left orange, right cyan, as the person's own sides.

    Args:
      image: (H, W, 3) uint8 RGB, or another that ``frames.as_rgb`` takes.
      poses: of this image.
      skeleton: names and bones.
      min_visibility: points that are less likely visible, and their bones, are left out.
      fade: points fade with their confidence, and bones with that of the less confident end.

    Returns:
      (H, W, 3) uint8, a copy.

    Raises:
      BlazePoseError: not an image, or poses of another skeleton.
    """
    from PIL import Image, ImageDraw

    image, count = as_rgb(image), np.shape(poses.keypoints)[-2]
    if count != len(skeleton.keypoints):
        raise BlazePoseError(
            f"the poses have {count} keypoints and the skeleton {skeleton.name!r} has"
            f" {len(skeleton.keypoints)}: give the network's own, such as tracker.skeleton"
        )
    # To the host at once, rather than number by number.
    poses = jax.device_get(poses)
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas, "RGBA")  # onto RGB: colours with alpha are blended
    size = max(2, round(min(image.shape[:2]) / 180))
    for slot in np.flatnonzero(poses.present):
        keypoints = np.asarray(poses.keypoints[slot])
        points = [(x, y) for x, y in keypoints[:, :2].tolist()]
        shown = (poses.visibility[slot] >= min_visibility) & np.isfinite(keypoints).all(-1)
        alphas = _alphas(poses.confidence[slot]) if fade else [255] * count
        for a, b in skeleton.bone_indices:
            if shown[a] and shown[b]:
                colour = (*_colour(skeleton, a, b), min(alphas[a], alphas[b]))
                pen.line([points[a], points[b]], fill=colour, width=size)
        ring = RINGS[int(poses.ids[slot]) % len(RINGS)]
        for (x, y), visible, alpha in zip(points, shown, alphas, strict=True):
            if visible:
                box = [x - size, y - size, x + size, y + size]
                pen.ellipse(box, fill=(*MIDDLE, alpha), outline=(*ring, alpha))
    return np.array(canvas)


def _alphas(confidence: Array) -> list[int]:
    """(K,) probabilities to opacities of 255 at most."""
    share = (np.nan_to_num(confidence) - FAINT_UNTIL) / (OPAQUE_FROM - FAINT_UNTIL)
    alpha = FAINTEST + (1 - FAINTEST) * np.clip(share, 0, 1)
    return np.rint(255 * alpha).astype(int).tolist()


def _colour(skeleton: Skeleton, a: int, b: int) -> tuple[int, int, int]:
    sides = {skeleton.sides[a], skeleton.sides[b]} - {""}
    if len(sides) != 1:
        return MIDDLE
    return LEFT if "left" in sides else RIGHT


def draw_parts(image: np.ndarray, parts: Parts, *, least: float = 0.5) -> np.ndarray:
    """Draw hands and faces: the square where each is expected, and the points of those that are.

    Args:
      image: (H, W, 3) uint8 RGB.
      parts: of this image.
      least: points of less present ones are left out.

    Returns:
      (H, W, 3) uint8, a copy.
    """
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas, "RGBA")
    for found in parts.values():
        for name, part in found.items():
            colour = LEFT if "left" in name else RIGHT if "right" in name else MIDDLE
            (x, y), half = np.asarray(part.roi.center).tolist(), float(part.roi.side) / 2
            cos, sin = np.cos(float(part.roi.angle)) * half, np.sin(float(part.roi.angle)) * half
            corners = [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in CORNERS]
            pen.line([*corners, corners[0]], fill=(*colour, 140), width=1)
            if part.keypoints is None or (part.presence or 0.0) < least:
                continue
            size = max(1.0, half / 60)
            for px, py in part.keypoints[:, :2].tolist():
                pen.ellipse([px - size, py - size, px + size, py + size], fill=(*colour, 255))
    return np.array(canvas)


def draw_points(image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Mark points on an image.

    Args:
      image: (H, W, 3) uint8 RGB.
      points: (K, 2), px; NaN rows are left out.
      colour: RGB.

    Returns:
      (H, W, 3) uint8, a copy.
    """
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    size = max(1, round(min(image.shape[:2]) / 120))
    for x, y in points[np.isfinite(points).all(-1)].tolist():
        pen.ellipse([x - size, y - size, x + size, y + size], fill=colour, outline=(0, 0, 0))
    return np.array(canvas)


def contact_sheet(images: Sequence[np.ndarray], columns: int, tile: int = 192) -> np.ndarray:
    """Arrange images of any size as rows of square tiles.

    Args:
      images: (H, W, 3) uint8 RGB each.
      columns: tiles of a row.
      tile: side, px.

    Returns:
      (rows * tile, columns * tile, 3) uint8.
    """
    from PIL import Image, ImageOps

    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * tile, rows * tile))
    for i, image in enumerate(images):
        sheet.paste(
            ImageOps.pad(Image.fromarray(image), (tile, tile)),
            (i % columns * tile, i // columns * tile),
        )
    return np.array(sheet)


def save_image(image: np.ndarray, path: Path) -> None:
    """Write a picture in the format of its suffix.

    Args:
      image: (H, W) or (H, W, 3) uint8.
      path: where to.

    Raises:
      BlazePoseError: a suffix of no picture format, or a size that the format does not hold.
    """
    with written(path) as part:
        write_image(image, part, path)


def write_image(image: np.ndarray, part: Path, path: Path) -> None:
    """``save_image`` to a place that nobody else knows, such as a folder that has no name yet.

    Args:
      image: as for ``save_image``.
      part: where to.
      path: what it will be called, for errors.

    Raises:
      BlazePoseError: as for ``save_image``.
    """
    from PIL import Image

    try:
        Image.fromarray(image).save(part)
    except (ValueError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise BlazePoseError(
            f"picture {str(path)!r} cannot be written ({error}): name a .png or .jpg"
        ) from error


def check_picture_name(path: Path) -> None:
    """Check before the work starts that a picture of this name can be written.

    Raises:
      BlazePoseError: a suffix of no format that is written.
    """
    from PIL import Image

    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise BlazePoseError(
            f"picture {str(path)!r} ends in {path.suffix!r}, which cannot be written: name a .png"
            " or .jpg"
        )
