"""Choice of the records to validate on."""

import numpy as np

LARGEST_HELD_OUT = 1 / 3


def held_out_rows(
    weights: np.ndarray, count: int, seed: int = 0, groups: np.ndarray | None = None
) -> np.ndarray:
    """Positions of records to validate on, chosen by seed among those with full weight.

    Where no record has it, as where a net alone has labelled, among all.

    Args:
      weights: (n,) float32.
      count: how many at the most.
      seed: of the choice.
      groups: (n,) int; records of one group are held out together or not at all. Where every group
        has more than ``count`` records, the smallest one is held out, unless it is more than a
        third of all. None where each record is its own group.

    Returns:
      (m,) int, sorted.
    """
    sure = weights >= 1.0
    order = np.random.default_rng(seed).permutation(np.flatnonzero(sure if sure.any() else ~sure))
    if groups is None or len(np.unique(groups)) == len(groups):
        return np.sort(order[:count])
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(i)
    # A dict keeps the order in which groups were chosen.
    chosen: dict[int, None] = {}
    held = 0
    for group in groups[order].tolist():
        if group not in chosen and held + len(members[group]) <= count:
            chosen[group] = None
            held += len(members[group])
    if not chosen and count > 0 and len(order):
        smallest = min(groups[order].tolist(), key=lambda group: len(members[group]))
        if len(members[smallest]) <= LARGEST_HELD_OUT * len(groups):
            chosen[smallest] = None
    return np.sort(np.array([i for group in chosen for i in members[group]], int))
