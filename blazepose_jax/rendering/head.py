"""Heads of round cones: skull, hair, and what is in the face."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from blazepose_jax.rendering.kinematics import Figure
from blazepose_jax.rendering.shapes import BROW, EYE, HAIR, IRIS, LIPS, SKIN, Clothes, Shapes, cone

Place = tuple[float, float, float] | jax.Array


def head(figure: Figure, clothes: Clothes) -> tuple[list[Shapes], list[Shapes]]:
    """The head of a figure, metres.

    Args:
      figure: joints.
      clothes: its hair.

    Returns:
      Skull and hair; and the small features of the face.
    """
    turn, k = figure.head_turn, (figure.height / 1.7) ** 0.5

    def part(
        start: Place,
        end: Place,
        start_radius: ArrayLike,
        end_radius: ArrayLike,
        material: int,
        squeeze: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> Shapes:
        """A cone by metres of an average head, from its middle and in its axes."""
        a, b = (figure.head + turn @ (k * jnp.array(p)) for p in (start, end))
        return cone(a, b, start_radius * k, end_radius * k, material, turn=turn, squeeze=squeeze)

    grown = jnp.where(clothes.hair < 0.08, 0.0, 1.0)
    long = jnp.where(clothes.hair > 0.6, (clothes.hair - 0.6) / 0.4, 0.0)
    back = jnp.stack([0.0, 0.02 + 0.16 * long, 0.045 + 0.03 * long])
    top = 0.06 + 0.037 * grown, 0.06 + 0.033 * grown
    skull = [
        part((0.0, -0.045, 0.012), (0.0, -0.035, -0.005), 0.088, 0.088, SKIN, (0.84, 1.0, 1.0)),
        # From the face to the chin.
        part((0.0, 0.0, -0.025), (0.0, 0.072, -0.052), 0.068, 0.034, SKIN, (1.0, 1.0, 0.95)),
        # Hair, on top and at the back.
        part((0.0, -0.058, 0.02), (0.0, -0.06, 0.004), *top, HAIR, (0.86, 1.0, 1.0)),
        part((0.0, -0.03, 0.03), back, 0.02 + 0.06 * grown, 0.02 + 0.045 * grown, HAIR),
    ]
    nose = part((0.0, -0.025, -0.084), (0.0, 0.016, -0.101), 0.008, 0.014, SKIN)
    features = [nose]
    for s in (-1.0, 1.0):
        ear = (s * 0.074, -0.015, 0.008), (s * 0.073, 0.016, 0.003)
        eye = (s * 0.026, -0.029, -0.083), (s * 0.038, -0.029, -0.079)
        iris = (s * 0.032, -0.029, -0.087), (s * 0.032, -0.029, -0.088)
        brow = (s * 0.018, -0.048, -0.087), (s * 0.047, -0.047, -0.077)
        features += [
            part(*ear, 0.02, 0.014, SKIN, (0.45, 1.0, 0.8)),
            part(*eye, 0.0105, 0.0105, EYE, (1.0, 0.75, 0.7)),
            part(*iris, 0.0062, 0.0062, IRIS),
            part(*brow, 0.005, 0.004, BROW),
        ]
    lips = (-0.023, 0.052, -0.081), (0.023, 0.052, -0.081)
    features.append(part(*lips, 0.0075, 0.0075, LIPS, (1.0, 1.0, 1.4)))
    return skull, features
