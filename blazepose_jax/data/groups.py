"""Groups of people that training and validation must not share.

Such as the frames of a film, the pictures of a subject, the people of one picture.
"""

import collections
import re
from collections.abc import Sequence
from pathlib import Path

from blazepose_jax.data.annotations import Person

# File names like film7_0012.jpg are taken for films only where there are several films, none of
# them holds nearly all pictures, and each has several frames: LSP's im0001.jpg, im0002.jpg, ...
# show different people, and so do a camera's IMG_1234.jpg.
LEAST_FILMS = 2
LARGEST_SHARE = 0.8
LEAST_FRAMES = 2.0  # per film, on average
# As many folders whose pictures have numbers alone are films; fewer are parts of a set, such as
# train and val.
LEAST_FOLDERS = 5
# What cameras and data sets call every picture.
CAMERAS = (
    "img",
    "dsc",
    "dscn",
    "dscf",
    "pxl",
    "image",
    "photo",
    "picture",
    "pic",
    "mvimg",
    "p",
    "im",
)
# What Roboflow appends to names.
_EXPORTED = re.compile(r"[._](?:jpe?g|png|webp|bmp)(?=[._]|$)|\.rf\.[0-9a-f]{8,}$", re.IGNORECASE)
_LAST_NUMBER = re.compile(r"\d+(?!.*\d)")


def group_people(people: Sequence[Person]) -> tuple[dict[int, int], str]:
    """Number the groups of people.

    The ``group`` of the annotation or image counts; without any, the common parts of file names
    that look like films. People of one picture are always one group, unless there is only one
    picture.

    Args:
      people: with ids that are unique.

    Returns:
      {id: group number}, and one line on how they were found.
    """
    if not people:
        return {}, "no people"
    pictures = [str(person.image) for person in people]
    films = [film_of(person) for person in people]
    folders = {film for film in films if film.endswith("/")}
    if len(folders) < LEAST_FOLDERS:
        films = ["" if film in folders else film for film in films]
    sizes = collections.Counter(film for film in films if film)
    if any(person.group for person in people):
        keys, how = [person.group for person in people], "by the field group"
    elif (
        len(sizes) >= LEAST_FILMS
        and max(sizes.values()) <= LARGEST_SHARE * len(people)
        and sizes.total() >= LEAST_FRAMES * len(sizes)
    ):
        folder, _, name = next(film for film in films if film).rpartition("/")
        keys, how = films, f"by file names, like {name or f'{Path(folder).name}/'!r}"
    elif len(set(pictures)) == 1:
        keys, pictures, how = (
            [""] * len(people),
            [str(p.id) for p in people],
            "one a person, as all are in one picture",
        )
    else:
        keys, how = [""] * len(people), "one a picture"
    numbers = _joined(keys, pictures)
    found = {person.id: number for person, number in zip(people, numbers, strict=True)}
    count = len(set(numbers))
    return found, f"{count} groups, {how}; a group is never torn apart into training and validation"


def film_of(person: Person) -> str:
    """Folder and name of a picture without its last number, that of the frame.

    The folder alone where the name is a number or a camera's; "" where it has no number.
    """
    stem = _EXPORTED.sub("", person.image.stem)
    film = _LAST_NUMBER.sub("#", stem)
    words = re.findall(r"[a-z]+", film.lower())
    if film == stem:
        return ""
    is_film = words and not (len(words) == 1 and words[0] in CAMERAS)
    return f"{person.image.parent}/{film if is_film else ''}"


def _joined(keys: Sequence[str], pictures: Sequence[str]) -> list[int]:
    """Group numbers of rows: those of one key, or of one picture, belong together."""
    leader = list(range(len(keys)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, (key, picture) in enumerate(zip(keys, pictures, strict=True)):
        for name in (("key", key), ("picture", picture)):
            if name[1]:
                leader[find(i)] = find(first.setdefault(name, i))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(find(i), len(numbers)) for i in range(len(keys))]
