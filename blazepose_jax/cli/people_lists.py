"""Lists of people to use or to leave out: text files of annotation ids."""

import dataclasses
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from blazepose_jax.data.annotations import MAX_LISTED, Annotations, Person, Reasons
from blazepose_jax.errors import BlazePoseError

_COMMENT = re.compile(r"(^|\s)#.*")
RULE = "write one annotation id a line; # begins a comment"


def add_people_lists(parser: ArgumentParser) -> None:
    """``--only FILE`` and ``--leave-out FILE``."""
    parser.add_argument(
        "--only", metavar="FILE", help="use these people alone: a text file of annotation ids"
    )
    parser.add_argument(
        "--leave-out", metavar="FILE", help="leave these people out: a text file of annotation ids"
    )


def choose_people(data: Annotations, args: Namespace) -> tuple[Annotations, list[str]]:
    """The people that ``--only`` and ``--leave-out`` leave.

    Args:
      data: annotations. What was dropped or changed counts only for people who are chosen.
      args: of ``add_people_lists``.

    Returns:
      Annotations, the same where neither option was given; and lines that say how many there are.

    Raises:
      BlazePoseError: a file that cannot be read or lists nobody, an id of ``--only`` that the data
        lacks, a list for ``--leave-out`` of which the data has no id, or nobody is left.
    """
    chosen, said = data, []
    known = {label_of(person) for person in data.people}
    known |= {str(i) for ids in data.dropped.values() for i in ids}
    if args.only:
        wanted = read_ids(args.only)
        if unknown := [label for label in wanted if label not in known]:
            raise BlazePoseError(
                f"{args.only} lists {len(unknown)} people whom the data lacks:"
                f" {', '.join(unknown[:MAX_LISTED])}{', ...' if unknown[MAX_LISTED:] else ''};"
                " list ids of its annotations"
            )
        chosen = _filtered(chosen, set(wanted).__contains__)
        said.append(f"{len(chosen.people)} of {len(data.people)} people, those of {args.only}")
    if args.leave_out:
        ids, before = read_ids(args.leave_out), len(chosen.people)
        unwanted = set(ids)
        # Part of a set lacks some of a list; data that lack all of it are numbered otherwise.
        if not unwanted & known:
            raise BlazePoseError(
                f"{args.leave_out} lists {len(ids)} people to leave out ({ids[0]}, ...), and the"
                " data has none of them: list ids of its annotations, or do without --leave-out"
            )
        chosen = _filtered(chosen, lambda label: label not in unwanted)
        count = before - len(chosen.people)
        said.append(f"{count} of {before} people left out, by {args.leave_out}")
    if not chosen.people:
        raise BlazePoseError(
            f"nobody is left of {len(data.people)} people after --only {args.only or 'everybody'}"
            f" and --leave-out {args.leave_out or 'nobody'}: list other ids"
        )
    return chosen, said


def whole_pictures(chosen: Annotations, data: Annotations) -> tuple[Annotations, list[str]]:
    """Leave out the pictures that show somebody who is not chosen.

    Whoever is labelled or learned from whole pictures would be so from theirs.

    Args:
      chosen: of ``choose_people``.
      data: everybody.

    Returns:
      Annotations; and a line that says how many are left out, if any.
    """
    wanted = {label_of(person) for person in chosen.people}
    others = {person.image for person in data.people if label_of(person) not in wanted}
    people = tuple(person for person in chosen.people if person.image not in others)
    if len(people) == len(chosen.people):
        return chosen, []
    if not people:
        raise BlazePoseError("every picture shows somebody who is left out: list all its people")
    count = len(chosen.people) - len(people)
    said = f"{count} more people left out, in pictures of somebody who is left out"
    return dataclasses.replace(chosen, people=people), [said]


def read_ids(path: str) -> list[str]:
    """Ids of a text file, in its order, each once.

    Raises:
      BlazePoseError: unreadable, or without an id.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise BlazePoseError(f"{path} cannot be read ({error}): {RULE}") from error
    ids = list(
        dict.fromkeys(filter(None, (_COMMENT.sub("", v).strip() for v in text.splitlines())))
    )
    if not ids:
        raise BlazePoseError(f"{path} lists nobody: {RULE}")
    return ids


def label_of(person: Person) -> str:
    """The id of a person's annotation as text; the running number where the file has none."""
    return person.label or str(person.id)


def _filtered(data: Annotations, is_chosen: Callable[[str], bool]) -> Annotations:
    def of(reasons: Reasons) -> Reasons:
        found = {reason: [i for i in ids if is_chosen(str(i))] for reason, ids in reasons.items()}
        return {reason: ids for reason, ids in found.items() if ids}

    return dataclasses.replace(
        data,
        people=tuple(person for person in data.people if is_chosen(label_of(person))),
        dropped=of(data.dropped),
        changed=of(data.changed),
    )
