"""Where weights lie that a user names or gives by path."""

import os
from collections.abc import Callable
from pathlib import Path

from blazepose_jax.errors import BlazePoseError, suggestion
from blazepose_jax.io.cache import weights_cache
from blazepose_jax.weights.description import NAME
from blazepose_jax.weights.fetch import Progress, fetch_release
from blazepose_jax.weights.names import NAMES, RELEASES, release_of

# Weights that ship with the package, by name.
PACKAGED = Path(__file__).with_name("packaged")


def find_weights(
    weights: str | Path,
    *,
    download: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda items, total, name, unit: items,
) -> Path:
    """The path of weights.

    Args:
      weights: a name (``full``, ``lite``, ``heavy``, ``released-...``), looked for in the package
        and then in the cache; or the path of a weights directory or a .task. Text that is a name is
        never a path: the folder ``full`` is ``./full``, or a ``Path``.
      download: fetch what is named and not there, once.
      say: as for ``fetch.fetch_release``.
      progress: as for ``fetch.fetch_release``.

    Returns:
      The path of what is named; a path as it was given.

    Raises:
      BlazePoseError: named weights that are not on this machine, or cannot be fetched; neither a
        name nor a path.
    """
    if weights not in NAMES:
        path = Path(weights)
        if not os.path.exists(path):
            near = suggestion(str(weights), NAMES)
            raise BlazePoseError(
                f"weights {str(weights)!r} do not exist: {near + ' ' if near else ''}give a weights"
                f" directory (blazepose import makes one), a .task, or one of {', '.join(NAMES)}"
            )
        return path
    name = str(weights)
    place = place_of(name)
    if place is not None:
        return place
    if not download:
        raise BlazePoseError(
            f"the weights {name!r} are not on this machine: run `blazepose weights fetch {name}`,"
            " or give download=True"
        )
    return fetch_release(release_of(name), say, progress)


def place_of(name: str) -> Path | None:
    """Where named weights lie, if they are on this machine.

    Raises:
      BlazePoseError: an unknown name.
    """
    release = release_of(name)
    places = [folder / release.name for folder in (PACKAGED, weights_cache())]
    return next((place for place in places if (place / NAME).is_file()), None)


def shared_detector(place: Path) -> Path | None:
    """Where the detector of packaged weights lies; None for all that bring their own, or none."""
    release = RELEASES.get(place.name) if place.parent == PACKAGED else None
    return None if release is None or release.detector is None else PACKAGED / release.detector


def cached_name(path: Path) -> str | None:
    """The name of weights that lie in the cache; None for those that lie elsewhere."""
    is_cached = path.name in RELEASES and path.parent == weights_cache()
    return path.name if is_cached else None
