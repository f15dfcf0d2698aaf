"""Pictures of nobody: rendered backgrounds, and corners cut out of photographs.

    python tools/person_free.py DIR --source LSP_TRAIN [--leave-out FILE] [--count N]

writes corners of annotated photographs as pictures, for ``data prepare rendered_people
--backgrounds DIR``. They may show somebody whom nobody labelled. Of ``--leave-out``'s people the
whole photographs are left out.
"""

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.cli.people_lists import add_people_lists, choose_people, whole_pictures
from blazepose_jax.data.annotations import Person, size_of
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.io.draw import save_image
from blazepose_jax.io.images import picture_size, read_image
from blazepose_jax.rendering.scene import render_backgrounds

RENDERED, CORNERS = "rendered", "corners"
SIDE = 384  # px, of rendered backgrounds
# A corner is a square of at least so many px and at most so large a share of the shorter side.
SMALLEST, LARGEST, STEP = 96, 0.5, 8
# From every labelled point, in sizes of the person (the longer side of the box round the points):
# more than a hand reaches beyond the wrist, or a head beyond the eyes.
CLEAR = 0.25


@dataclasses.dataclass(frozen=True)
class Corner:
    """A square in a corner of a photograph.

    Attributes:
      image: path of the photograph.
      x: px, its left.
      y: px, its top.
      side: px.
    """

    image: Path
    x: int
    y: int
    side: int

    def pixels(self) -> np.ndarray:
        """(S, S, 3) uint8."""
        rows, columns = slice(self.y, self.y + self.side), slice(self.x, self.x + self.side)
        return np.ascontiguousarray(read_image(self.image)[rows, columns])


def rendered_backgrounds(count: int, seed: int) -> list[np.ndarray]:
    """(S, S, 3) uint8 each."""
    return list(np.asarray(render_backgrounds(jax.random.key(seed), np.arange(count), side=SIDE)))


def choose_corners(people: Iterable[Person], count: int, seed: int) -> list[Corner]:
    """Corners of photographs that lie far from everybody who is labelled.

    One of each photograph, in random order, then a second one and so on.

    Args:
      people: everybody who is labelled in the photographs.
      count: at most so many.
      seed: of the order.
    """
    by_image: dict[Path, list[Person]] = {}
    for person in people:
        by_image.setdefault(person.image, []).append(person)
    rng = np.random.default_rng(seed)
    images = [list(by_image)[i] for i in rng.permutation(len(by_image))]
    order = {image: rng.permutation(4) for image in images}
    found: list[Corner] = []
    for turn in range(4):
        for image in images:
            if len(found) == count:
                return found
            right, low = divmod(int(order[image][turn]), 2)
            corner = free_corner(image, bool(right), bool(low), by_image[image])
            found += [corner] if corner else []
    return found


def free_corner(image: Path, right: bool, low: bool, people: list[Person]) -> Corner | None:
    """The largest square in one corner that keeps clear of people; None if it is too small."""
    width, height = picture_size(image)
    for side in range(int(LARGEST * min(width, height)), SMALLEST - 1, -STEP):
        x, y = right * (width - side), low * (height - side)
        start = np.array([x, y])
        if all(distance(person, start, side) >= CLEAR * size_of(person) for person in people):
            return Corner(image, x, y, side)
    return None


def distance(person: Person, start: np.ndarray, side: int) -> float:
    """Px from a square to the nearest labelled point of a person.

    Args:
      person: with labels.
      start: (2,) px, the square's left and top.
      side: px.
    """
    points = person.keypoints[person.visibility_flags > 0]
    outside = np.maximum(np.maximum(start - points, points - start - side), 0)
    return float(np.linalg.norm(outside, axis=-1).min())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    add_people_lists(parser)
    args = parser.parse_args()
    everybody = read_annotations(args.source)
    chosen, said = choose_people(everybody, args)
    people, more = whole_pictures(chosen, everybody)
    print("\n".join(said + more))
    args.directory.mkdir(parents=True, exist_ok=True)
    found = choose_corners(people.people, args.count, args.seed)
    for number, corner in enumerate(found):
        save_image(corner.pixels(), args.directory / f"{number:05d}.png")
    print(f"wrote {len(found)} pictures to {args.directory}")


if __name__ == "__main__":
    main()
