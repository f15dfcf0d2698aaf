"""Pictures of nobody, before which people are rendered."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.folders import list_pictures
from blazepose_jax.io.images import read_image

SIDE = 256  # px, in which they are kept
MOST = 1_000  # pictures, of 200 KB each


def read_backgrounds(folder: str | Path) -> jax.Array:
    """The middle squares of a folder's pictures; of more than ``MOST`` as many, evenly chosen.

    Args:
      folder: of pictures that show nobody.

    Returns:
      (N, 256, 256, 3) uint8.

    Raises:
      BlazePoseError: no such folder, no picture in it, or one that cannot be read.
    """
    if not Path(folder).is_dir():
        raise BlazePoseError(f"{str(folder)!r} is no folder: name one with pictures of nobody")
    files = list_pictures(Path(folder))
    chosen = np.unique(np.linspace(0, len(files) - 1, min(MOST, len(files))).round().astype(int))
    return jnp.asarray(np.stack([_square(read_image(files[i])) for i in chosen]))


def _square(image: np.ndarray) -> np.ndarray:
    from PIL import Image

    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
