"""The released nets' encoder: an image comes in, features at five resolutions leave."""

import dataclasses

import flax.linen as nn
import jax

from blazepose_jax.models.layers import Conv, InvertedResidual, LayerConfig, Separable, symmetric


@dataclasses.dataclass(frozen=True)
class BackboneSizes:
    """Channels per stage (c0..c5) and residual blocks per stage; ReLU6 throughout."""

    channels: tuple[int, int, int, int, int, int]
    # expansion of each residual block at 1/4; elsewhere it is 6
    quarter_expansions: tuple[int, ...]
    blocks: tuple[int, int, int, int]  # residual blocks after c2, c3, c4, c5


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

        def inverted(x, name, features, kernel, expansion=6, stride=1, residual=False):
            return InvertedResidual(
                self.config, features, kernel, expansion, stride, residual, name=name
            )(x, train=train)

        def residuals(x, name, features, kernel, count):
            for i in range(count):
                x = inverted(x, f"{name}_residual{i}", features, kernel, residual=True)
            return x

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
        x = inverted(x, "quarter_down", c1, 3, expansion=4, stride=2)
        for i, expansion in enumerate(self.sizes.quarter_expansions):
            x = inverted(x, f"quarter_residual{i}", c1, 3, expansion=expansion, residual=True)
        taps[4] = x
        x = inverted(x, "eighth_down", c2, 5, stride=2)
        taps[8] = x = residuals(x, "eighth", c2, 5, n2)
        x = inverted(x, "sixteenth_down", c3, 3, stride=2)
        x = residuals(x, "sixteenth", c3, 3, n3)
        x = inverted(x, "sixteenth_widen", c4, 5)
        taps[16] = x = residuals(x, "sixteenth_wide", c4, 5, n4)
        x = inverted(x, "last_down", c5, 5, stride=2)
        x = residuals(x, "last", c5, 5, n5)
        x = Conv(self.config, 6 * c5, activation="relu6", name="last_expand")(x, train=train)
        taps[32] = Conv(self.config, kernel=3, activation="relu6", name="last_depthwise")(
            x, train=train
        )
        return taps
