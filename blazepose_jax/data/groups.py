"""Groups of people that must not be torn apart: a film's neighbouring frames, a subject, a picture."""

import collections
import re
from collections.abc import Sequence
from pathlib import Path

from blazepose_jax.data.coco import Person

# File names like film7_0012.jpg tell films only where there are several of them, none nearly everything: LSP's
# im0001.jpg, im0002.jpg, ... are strangers.
LEAST_PREFIXES = 3
LARGEST_SHARE = 0.5
_NUMBER = re.compile(r"[\W_]*\d+[\W_]*$")


def group_people(people: Sequence[Person]) -> tuple[dict[int, int], str]:
    """Number the groups of people.

    A ``group`` of the annotation or image counts; else the file names' common beginnings, where they look like films;
    else each picture is a group.

    Args:
      people: with ids that are unique.

    Returns:
      {id: group number}, and one line on how they were found.
    """
    if not people:
        return {}, "no people"
    if any(person.group for person in people):
        keys = [person.group or str(person.image) for person in people]
        how = "by the field group"
    else:
        keys = [f"{person.image.parent}/{_NUMBER.sub('', person.image.stem)}" for person in people]
        counts = collections.Counter(keys)
        if len(counts) >= LEAST_PREFIXES and max(counts.values()) <= LARGEST_SHARE * len(people):
            how = f"by the beginning of file names, like {Path(keys[0]).name!r}"
        else:
            keys, how = [str(person.image) for person in people], "one a picture"
            if len(set(keys)) == 1:
                keys, how = [str(person.id) for person in people], "one a person, as all are in one picture"
    numbers: dict[str, int] = {}
    found = {person.id: numbers.setdefault(key, len(numbers)) for person, key in zip(people, keys, strict=True)}
    return found, f"{len(numbers)} groups, {how}; a group is never torn apart into training and validation"
