"""The released nets' encoder, with features at five resolutions (docs/mediapipe.md, 2.3)."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax

from blazepose_jax.models.layers import Conv, InvertedResidual, LayerConfig, Separable, symmetric


@dataclasses.dataclass(frozen=True)
class BackboneSizes:
    """Channels per stage (c0..c5) and residual blocks per stage; ReLU6 throughout."""

    channels: tuple[int, int, int, int, int, int]
    # Expansion of each residual block at stride 4; elsewhere it is 6.
    quarter_expansions: tuple[int, ...]
    blocks: tuple[int, int, int, int]  # residual blocks after c2, c3, c4, c5


# docs/mediapipe.md, 2.3.
LITE = BackboneSizes((8, 16, 24, 40, 56, 96), (6,), (1, 2, 2, 3))
FULL = BackboneSizes((16, 24, 32, 64, 88, 144), (6,), (1, 2, 2, 3))
DETECTOR = BackboneSizes((16, 24, 40, 80, 112, 192), (6,), (1, 2, 2, 3))
HEAVY = BackboneSizes((24, 32, 56, 112, 160, 272), (4, 6, 6), (3, 5, 5, 7))


class Backbone(nn.Module):
    """MobileNetV2-like encoder."""

    config: LayerConfig
    sizes: BackboneSizes

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[int, jax.Array]:
        """Encode.

        Args:
          images: (B, S, S, 3), normalised.
          train: batch statistics rather than running ones.

        Returns:
          {stride: (B, S/stride, S/stride, C)} for strides 2, 4, 8, 16, 32.
        """
        c0, c1, c2, c3, c4, c5 = self.sizes.channels
        n2, n3, n4, n5 = self.sizes.blocks
        residuals = partial(self._residuals, train=train)
        taps = {}
        x = Conv(
            self.config,
            24,
            kernel=3,
            stride=2,
            padding=symmetric(3),
            activation="relu6",
            name="stem",
        )(images, train=train)
        taps[2] = x = Separable(self.config, c0, None, "relu6", name="half")(x, train=train)
        x = self._block("quarter_down", c1, 3, expansion=4, stride=2)(x, train=train)
        for i, expansion in enumerate(self.sizes.quarter_expansions):
            block = self._block(f"quarter_residual{i}", c1, 3, expansion, residual=True)
            x = block(x, train=train)
        taps[4] = x
        x = self._block("eighth_down", c2, 5, stride=2)(x, train=train)
        taps[8] = x = residuals(x, "eighth", c2, 5, n2)
        x = self._block("sixteenth_down", c3, 3, stride=2)(x, train=train)
        x = residuals(x, "sixteenth", c3, 3, n3)
        x = self._block("sixteenth_widen", c4, 5)(x, train=train)
        taps[16] = x = residuals(x, "sixteenth_wide", c4, 5, n4)
        x = self._block("last_down", c5, 5, stride=2)(x, train=train)
        x = residuals(x, "last", c5, 5, n5)
        x = Conv(self.config, 6 * c5, activation="relu6", name="last_expand")(x, train=train)
        taps[32] = Conv(self.config, kernel=3, activation="relu6", name="last_depthwise")(
            x, train=train
        )
        return taps

    def _block(
        self,
        name: str,
        features: int,
        kernel: int,
        expansion: int = 6,
        stride: int = 1,
        residual: bool = False,
    ) -> InvertedResidual:
        return InvertedResidual(
            self.config, features, kernel, expansion, stride, residual, name=name
        )

    def _residuals(
        self, x: jax.Array, name: str, features: int, kernel: int, count: int, *, train: bool
    ) -> jax.Array:
        for i in range(count):
            x = self._block(f"{name}_residual{i}", features, kernel, residual=True)(x, train=train)
        return x
