"""Person detectors, the released one and that of 2020 (docs/mediapipe.md, 2.5 and 2.6)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import Initializer
from jax.typing import DTypeLike

from blazepose_jax.models.backbone import DETECTOR, Backbone
from blazepose_jax.models.layers import BlazeResidual, Conv, LayerConfig, Separable, symmetric
from blazepose_jax.models.resize import depth_to_space2x, upsample2x
from blazepose_jax.structs import DetectorOutputs

# One anchor in a hundred is to find somebody: sigmoid(-4) = 0.018.
SCORE_BIAS_INIT = nn.initializers.constant(-4.0)
VALUES = 12  # cx, cy, w, h and four alignment points


def usual_box(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Initialise biases so that every anchor predicts a box of the usual size round itself.

    The usual size is a fifth of the input (``codecs/alignment.py``), here of about 224 px.

    Args:
      key: unused; initialisers take one.
      shape: (12a,), for a anchors a cell.
      dtype: of the result.

    Returns:
      (12a,) input px.
    """
    return jnp.tile(jnp.zeros(VALUES, dtype).at[2:4].set(40.0), shape[0] // VALUES)


def gather_heads(maps: list[tuple[jax.Array, jax.Array]]) -> DetectorOutputs:
    """Flatten maps into anchor order: map, y, x, anchor.

    Args:
      maps: (logits, boxes), (B, g, g, a) and (B, g, g, 12a), from fine to coarse.

    Returns:
      DetectorOutputs.
    """
    batch = maps[0][0].shape[0]
    logits = jnp.concatenate([m.reshape(batch, -1, 1) for m, _ in maps], 1)  # (B, A, 1)
    boxes = jnp.concatenate([m.reshape(batch, -1, VALUES) for _, m in maps], 1)  # (B, A, 12)
    return DetectorOutputs(boxes.astype(jnp.float32), logits.astype(jnp.float32))


class Detector(nn.Module):
    """The released detector: backbone, a small feature pyramid, heads at strides 8, 16 and 32.

    A cell has 2, 2 and 6 anchors there.
    """

    config: LayerConfig

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> DetectorOutputs:
        """Detect.

        Args:
          images: (B, 224, 224, 3) float32 in [-1, 1].
          train: batch statistics rather than running ones.

        Returns:
          DetectorOutputs with 2254 anchors.
        """
        taps = Backbone(self.config, DETECTOR, name="backbone")(images, train=train)
        pyramid = {32: taps[32]}
        for stride, features in ((16, 192), (8, 96)):
            above = upsample2x(pyramid[2 * stride], self.config)
            above = Conv(self.config, features, activation="relu6", name=f"pyramid_up_{stride}")(
                above, train=train
            )
            lateral = Separable(
                self.config, features, "relu6", depthwise_norm=False, name=f"pyramid_tap_{stride}"
            )(taps[stride], train=train)
            x = lateral + above
            for i in range(2):
                x = BlazeResidual(
                    self.config,
                    features,
                    between=None,
                    depthwise_norm=False,
                    name=f"pyramid_{stride}_residual{i}",
                )(x, train=train)
            pyramid[stride] = x
        maps = []
        for stride, anchors in ((8, 2), (16, 2), (32, 6)):
            x = depth_to_space2x(pyramid[stride])
            logits = self._head(x, f"logits_{stride}", anchors, train, SCORE_BIAS_INIT)
            maps.append(
                (logits, self._head(x, f"boxes_{stride}", anchors * VALUES, train, usual_box))
            )
        return gather_heads(maps)

    def _head(
        self, x: jax.Array, name: str, features: int, train: bool, bias_init: Initializer
    ) -> jax.Array:
        x = Conv(
            self.config,
            kernel=3,
            stride=2,
            padding=symmetric(3),
            norm=False,
            name=f"{name}_depthwise",
        )(x, train=train)
        return Conv(self.config.exact, features, norm=False, bias_init=bias_init, name=name)(
            x, train=train
        )


class PaperDetector(nn.Module):
    """The detector of 2020, BlazeFace-like: 5x5 blocks, heads on 16x16 and 8x8 cells.

    A cell has 2 and 6 anchors there.
    """

    config: LayerConfig
    # Stride, channels, residual blocks.
    stages: tuple[tuple[int, int, int], ...] = (
        (1, 48, 3),
        (2, 64, 3),
        (4, 96, 6),
        (8, 128, 7),
        (16, 256, 6),
    )

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> DetectorOutputs:
        """Detect.

        Args:
          images: (B, 128, 128, 3) float32 in [-1, 1].
          train: batch statistics rather than running ones.

        Returns:
          DetectorOutputs with 896 anchors.
        """
        x = Conv(self.config, self.stages[0][1], kernel=5, activation="relu", name="stem")(
            images, train=train
        )
        taps = {}
        for stride, features, blocks in self.stages:
            for i in range(blocks if stride == 1 else blocks + 1):
                down = stride > 1 and i == 0
                x = BlazeResidual(
                    self.config,
                    features,
                    2 if down else 1,
                    "relu",
                    None,
                    kernel=5,
                    name=f"encoder_{stride}_{'down' if down else f'residual{i}'}",
                )(x, train=train)
            taps[stride] = x
        maps = []
        for stride, anchors in ((8, 2), (16, 6)):
            logits = Conv(
                self.config.exact,
                anchors,
                norm=False,
                bias_init=SCORE_BIAS_INIT,
                name=f"logits_{stride}",
            )(taps[stride], train=train)
            boxes = Conv(
                self.config.exact,
                anchors * VALUES,
                norm=False,
                bias_init=usual_box,
                name=f"boxes_{stride}",
            )(taps[stride], train=train)
            maps.append((logits, boxes))
        return gather_heads(maps)
