"""Labelled points as a skeleton's: bones, sides in colour, and a legend of names."""

import numpy as np

from blazepose_jax.io.draw import LEFT, MIDDLE, RIGHT
from blazepose_jax.skeleton import Skeleton

COLOURS = {"left": LEFT, "right": RIGHT, "": MIDDLE}
DARK, PAPER = (0, 0, 0), (24, 24, 24)
# Of the legend, px.
EXAMPLE, LINE, COLUMN, MARK = 512, 16, 170, 4
ROWS = (EXAMPLE - 8) // LINE  # of names in a column
LONGEST = 22  # characters of a name


def draw_labels(
    image: np.ndarray,
    points: np.ndarray,
    labelled: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    *,
    numbers: bool = False,
) -> np.ndarray:
    """Draw a person's labels: bones, and points of the left orange, right cyan, others white.

    Visible points are discs, the others rings. Bones are drawn between labelled points.

    Args:
      image: (H, W, 3) uint8 RGB.
      points: (K, 2) px; NaN rows are left out.
      labelled: (K,) bool.
      visible: (K,) bool.
      skeleton: K keypoints, bones, sides.
      numbers: write the position among the keypoints, from 1, beside each point.

    Returns:
      (H, W, 3) uint8, a copy.
    """
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    size = max(2, round(min(image.shape[:2]) / 110))
    shown = labelled & np.isfinite(points).all(-1)
    places = [(x, y) for x, y in points.tolist()]
    colours = [COLOURS[side] for side in skeleton.sides]
    for a, b in skeleton.bone_indices:
        if shown[a] and shown[b]:
            sides = {colours[a], colours[b]} - {MIDDLE}
            colour = sides.pop() if len(sides) == 1 else MIDDLE  # white from side to side
            pen.line([places[a], places[b]], fill=colour, width=max(1, size // 2))
    for i in np.flatnonzero(shown).tolist():
        (x, y), box = places[i], [v + d for d in (-size, size) for v in places[i]]
        pen.ellipse([v + d for v, d in zip(box, (-1, -1, 1, 1), strict=True)], fill=DARK)
        pen.ellipse(
            box,
            fill=colours[i] if visible[i] else None,
            outline=colours[i],
            width=max(1, size // 2),
        )
        if numbers:
            pen.text(
                (x + size + 2, y - size - 6),
                str(i + 1),
                colours[i],
                stroke_width=2,
                stroke_fill=DARK,
            )
    return np.array(canvas)


def legend(
    image: np.ndarray,
    points: np.ndarray,
    labelled: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    width: int,
) -> np.ndarray:
    """One person, large, with numbers at the points, and the names to the numbers beside them.

    Args:
      image: (S, S, 3) uint8 RGB.
      points: (K, 2) px.
      labelled: (K,) bool.
      visible: (K,) bool.
      skeleton: K keypoints.
      width: px, at least ``EXAMPLE``; names for which there is no room are counted.

    Returns:
      (EXAMPLE, width, 3) uint8.
    """
    from PIL import Image, ImageDraw

    scale = EXAMPLE / image.shape[0]
    large = Image.fromarray(image).resize((EXAMPLE, EXAMPLE), Image.Resampling.BICUBIC)
    person = draw_labels(np.array(large), points * scale, labelled, visible, skeleton, numbers=True)
    canvas = Image.new("RGB", (width, EXAMPLE), PAPER)
    canvas.paste(Image.fromarray(person), (0, 0))
    pen = ImageDraw.Draw(canvas)
    for i, (text, colour, labels_it) in enumerate(_lines(skeleton, labelled, width)):
        x, y = EXAMPLE + 12 + i // ROWS * COLUMN, 4 + i % ROWS * LINE
        if labels_it is not None:
            middle = y + LINE // 2
            pen.ellipse(
                [x, middle - MARK, x + 2 * MARK, middle + MARK],
                fill=colour if labels_it else None,
                outline=colour,
            )
        pen.text((x + 3 * MARK, y + 2), text, fill=colour)
    return np.array(canvas)


def _lines(
    skeleton: Skeleton, labelled: np.ndarray, width: int
) -> list[tuple[str, tuple[int, int, int], bool | None]]:
    """Text, colour, and whether the point is labelled here; None for a line that is no point."""
    room = max(1, (width - EXAMPLE - 12) // COLUMN) * ROWS - 1
    lines: list[tuple[str, tuple[int, int, int], bool | None]] = [
        (
            f"{i + 1} {name if len(name) <= LONGEST else name[: LONGEST - 3] + '...'}",
            COLOURS[side],
            bool(is_labelled),
        )
        for i, (name, side, is_labelled) in enumerate(
            zip(skeleton.keypoints, skeleton.sides, labelled, strict=True)
        )
    ]
    if len(lines) > room:
        lines[room:] = [(f"and {len(lines) - room} more", MIDDLE, None)]
    return lines
