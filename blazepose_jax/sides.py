"""Left and right in the spelling of names."""

import functools
import re

# A left and a right word of the languages that labelling tools are used in; compared in lower case.
SIDE_WORDS = (
    ("left", "right"),
    ("l", "r"),
    ("lt", "rt"),
    ("lft", "rgt"),
    ("lft", "rght"),
    ("links", "rechts"),
    ("linke", "rechte"),
    ("linker", "rechter"),
    ("gauche", "droite"),
    ("gauche", "droit"),
    ("izquierda", "derecha"),
    ("izquierdo", "derecho"),
    ("esquerda", "direita"),
    ("esquerdo", "direito"),
    ("sinistra", "destra"),
    ("sinistro", "destro"),
    ("左", "右"),
)
# Words that contain a side and mean none.
NO_SIDES = ("bright", "upright", "outright", "copyright", "cleft")
# Words of which a single letter before them makes a side, even where the other side is missing.
PAIRED_PARTS = (
    "hip",
    "knee",
    "ankle",
    "foot",
    "toe",
    "heel",
    "shoulder",
    "elbow",
    "wrist",
    "hand",
    "thumb",
    "eye",
    "ear",
)
_SIDE_OF = {word: side for pair in SIDE_WORDS for side, word in enumerate(pair)}
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: ``LeftShoulder`` and ``left-shoulder`` are the same."""
    return tuple(word.lower() for word in _WORD.findall(name))


@functools.lru_cache(maxsize=256)
def recognised_pairs(names: tuple[str, ...]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Pair the names of left and right points by their spelling.

    Known are ``left_hip``, ``L_Hip``, ``HipRight``, ``lhip`` and their like, also in some other
    languages.

    Args:
      names: of keypoints.

    Returns:
      (left, right) pairs in the order of their first name; and names that say a side and have no
      partner.
    """
    partner: dict[str, str] = {}
    sided = {name: sides[0][1] for name in names if (sides := _sides_said(name))}
    letters = _single_letters(names)
    for look in (_side_by_word, _side_by_part, _side_by_letter, _side_without_numbers):
        found: dict[tuple[str, ...], dict[int, list[str]]] = {}
        for name in names:
            if name not in partner:
                for rest, side in look(name):
                    found.setdefault(rest, {}).setdefault(side, []).append(name)
        for rest, pair in found.items():
            if len(pair) < 2 or len(pair[0]) != 1 or len(pair[1]) != 1 or letters.get(rest, 0) > 2:
                continue
            left, right = pair[0][0], pair[1][0]
            if left != right and not {left, right} & partner.keys():
                partner |= {left: right, right: left}
                sided |= {left: 0, right: 1}
    pairs = tuple(
        (name, partner[name]) if sided[name] == 0 else (partner[name], name)
        for i, name in enumerate(names)
        if name in partner and names.index(partner[name]) > i
    )
    lonely = tuple(
        name
        for name in names
        if name in sided
        and name not in partner
        and not any(letters.get(rest, 0) > 2 for rest, _ in _side_by_word(name))
    )
    return pairs, lonely


def sides_and_rest(name: str) -> list[tuple[int, tuple[str, ...]]]:
    """All readings of a name as a side and other words.

    Args:
      name: of a keypoint.

    Returns:
      (0 for left or 1 for right, the other words in lower case) pairs.
    """
    readings = _side_by_word(name) + _side_by_part(name) + _side_by_letter(name)
    return [
        (side, tuple(word for word in rest if word not in ("*", ""))) for rest, side in readings
    ]


def _sides_said(name: str) -> list[tuple[tuple[str, ...], int]]:
    """The sides that a name says, whether or not its partner is there."""
    found = _side_by_word(name)
    for word in words_of(name):
        for side, part in enumerate(("left", "right")):
            if word not in NO_SIDES and (word.startswith(part) or word.endswith(part)):
                found.append(((), side))
        if word[:1] in ("l", "r") and word[1:] in PAIRED_PARTS and word != "rear":
            found.append(((), "lr".index(word[0])))
    return found


def _single_letters(names: tuple[str, ...]) -> dict[tuple[str, ...], int]:
    """Count names that differ by a single letter other than l and r.

    Among ``point_a``, ``point_b``, ``point_l``, ``point_r`` the last two are no sides.

    Returns:
      {words with the letter marked: how many names}.
    """
    counts: dict[tuple[str, ...], int] = {}
    for name in names:
        words = words_of(name)
        for i, word in enumerate(words):
            if len(word) == 1 and word not in "lr" and word.isalpha():
                rest = (*words[:i], "*", *words[i + 1 :])
                counts[rest] = counts.get(rest, 0) + 1
    return counts


def _side_by_word(name: str) -> list[tuple[tuple[str, ...], int]]:
    """``left_hip``: (the words with the side marked, side), for every word that says a side."""
    words = words_of(name)
    return [
        ((*words[:i], "*", *words[i + 1 :]), _SIDE_OF[word])
        for i, word in enumerate(words)
        if word in _SIDE_OF
    ]


def _side_by_part(name: str) -> list[tuple[tuple[str, ...], int]]:
    """``lefthip``, ``innerlefteye``, ``左肩``: a word that contains a side."""
    words = words_of(name)
    return [
        ((*words[:i], *word.partition(part)[::2], "*", *words[i + 1 :]), side)
        for i, word in enumerate(words)
        for side, part in ((0, "left"), (1, "right"), (0, "左"), (1, "右"))
        if part in word and word != part
    ]


def _side_by_letter(name: str) -> list[tuple[tuple[str, ...], int]]:
    """``lhip``, ``hipr``, ``LS``: a letter at either end of a word."""
    words, found = words_of(name), []
    for i, word in enumerate(words):
        if len(word) >= 2:
            for at, rest in ((0, ("*", word[1:])), (-1, (word[:-1], "*"))):
                if word[at] in "lr":
                    found.append(((*words[:i], *rest, *words[i + 1 :]), "lr".index(word[at])))
    return found


def _side_without_numbers(name: str) -> list[tuple[tuple[str, ...], int]]:
    """``1_left_hip`` and ``2_right_hip``: names that differ in their number, too."""
    plain = " ".join(word for word in words_of(name) if not word.isdecimal())
    return [*_side_by_word(plain), *_side_by_part(plain), *_side_by_letter(plain)]
