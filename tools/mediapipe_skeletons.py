"""Skeletons of the labels, of MediaPipe and of this package over each other, without any pixels."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blazepose_jax.io.draw import contact_sheet
from blazepose_jax.skeleton import BLAZEPOSE

COLUMNS, TILE, HEAD = 5, 240, 24  # px of a tile, and of a line of text
FINE = 3  # lines are drawn so many times larger
GROUND, PAPER, INK = (40, 42, 46), (255, 255, 255), (20, 20, 20)
# Whose skeleton -> the colours of the person's left, which the middle takes too, and right; and px
# of a line, so that each shows beside those over it.
COLOURS = {
    "labels": ((255, 255, 255), (150, 150, 150), 4),
    "MediaPipe": ((255, 120, 60), (190, 60, 20), 2.5),
    "ours": ((70, 200, 255), (30, 110, 220), 1.5),
}
LEGEND = "white: labels; orange: MediaPipe, Google's files; blue: ours, search quick. "
LEGEND += "The person's right side is darker; hits of the labelled points below"


@dataclasses.dataclass(frozen=True)
class Example:
    """One person and two answers.

    Attributes:
      skeletons: by a key of ``COLOURS``, (K, 2) image px, NaN where unlabelled; None where nobody
        is found.
      names: of the K points.
      size: (width, height) of the photograph, px.
      text: a line below.
    """

    skeletons: Mapping[str, np.ndarray | None]
    names: tuple[str, ...]
    size: tuple[int, int]
    text: str


def skeleton_sheet(parts: dict[str, list[Example]]) -> np.ndarray:
    """A picture: a heading and rows of tiles for each part.

    Args:
      parts: examples by their heading.

    Returns:
      (H, W, 3) uint8.
    """
    rows = [heading(LEGEND)]
    for name, examples in parts.items():
        rows.append(heading(name if examples else f"{name}: none"))
        if examples:
            tiles = [draw_example(example) for example in examples]
            blank = np.full_like(tiles[0], 255)
            tiles += [blank] * (-len(tiles) % COLUMNS)
            rows.append(contact_sheet(tiles, COLUMNS, TILE))
    return np.concatenate(rows)


def heading(text: str) -> np.ndarray:
    """A line of text as wide as the sheet."""
    strip = Image.new("RGB", (COLUMNS * TILE, HEAD), PAPER)
    ImageDraw.Draw(strip).text((6, 5), text, fill=INK, font=ImageFont.load_default(13))
    return np.array(strip)


def draw_example(example: Example) -> np.ndarray:
    """(``TILE``, ``TILE``, 3) uint8: the photograph's frame, plain, with the skeletons in it."""
    tile = Image.new("RGB", (TILE, TILE), PAPER)
    scale = (TILE - HEAD) / max(example.size)
    width, height = (round(scale * length) for length in example.size)
    large = Image.new("RGB", (FINE * width, FINE * height), GROUND)
    pen = ImageDraw.Draw(large)
    for whose, points in example.skeletons.items():
        if points is not None:
            draw_skeleton(pen, FINE * scale * points, example.names, *COLOURS[whose])
    frame = large.resize((width, height), Image.Resampling.BOX)
    tile.paste(frame, ((TILE - width) // 2, (TILE - HEAD - height) // 2))
    font = ImageFont.load_default(12)
    ImageDraw.Draw(tile).text((6, TILE - HEAD + 4), example.text, fill=INK, font=font)
    return np.array(tile)


def draw_skeleton(
    pen: ImageDraw.ImageDraw,
    points: np.ndarray,
    names: tuple[str, ...],
    left: tuple[int, int, int],
    right: tuple[int, int, int],
    width: float,
) -> None:
    """Draw the bones between points that are known, and the points.

    Args:
      pen: of the picture.
      points: (K, 2) px.
      names: of the points.
      left: colour of the person's left.
      right: colour of their right.
      width: of a line, px of the tile.
    """
    known = {
        name: tuple(point.tolist())
        for name, point in zip(names, points, strict=True)
        if np.isfinite(point).all()
    }
    thick = round(FINE * width)
    for a, b in BLAZEPOSE.bones:
        if a in known and b in known:
            both_right = a.startswith("right_") and b.startswith("right_")
            pen.line([known[a], known[b]], fill=right if both_right else left, width=thick)
    for name, (x, y) in known.items():
        colour = right if name.startswith("right_") else left
        pen.ellipse([x - thick, y - thick, x + thick, y + thick], fill=colour)
