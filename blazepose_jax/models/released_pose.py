"""The released landmark nets, Lite, Full and Heavy (docs/mediapipe.md, 2.4)."""

import dataclasses

import flax.linen as nn
import jax
from jax import lax

from blazepose_jax.models.backbone import FULL, HEAVY, LITE, Backbone, BackboneSizes
from blazepose_jax.models.heads import ALL_HEADS, FIELDS, PoseHeads
from blazepose_jax.models.layers import BlazeResidual, LayerConfig, Separable
from blazepose_jax.models.resize import upsample2x
from blazepose_jax.structs import PoseOutputs


@dataclasses.dataclass(frozen=True)
class PoseSizes:
    """Widths and depths of a landmark net."""

    backbone: BackboneSizes
    decoder: int  # channels of the heatmap decoder
    regression: int  # channels of the regression tail
    tail_blocks: tuple[int, int]  # residual blocks at 4x4 and 2x2
    # Channels and residual blocks at strides 8, 16, 32 of a regression encoder on top of the
    # decoder, as in the paper; Heavy alone has one.
    second_encoder: tuple[tuple[int, int], ...] = ()


# docs/mediapipe.md, 2.4.
SIZES = {
    "lite": PoseSizes(LITE, 32, 192, (2, 3)),
    "full": PoseSizes(FULL, 48, 288, (4, 5)),
    "heavy": PoseSizes(HEAVY, 48, 288, (7, 7), ((96, 6), (192, 7), (288, 7))),
}


class PoseNet(nn.Module):
    """A released landmark net.

    Attributes:
      config: parameters with or without batch normalisation, compute type.
      sizes: widths and depths.
      keypoints: K', rows of the landmark tensor; 39 is 33 body points, 2 ROI points, 4 unused.
      fields: what is predicted per keypoint.
      heads: which optional heads there are, of ``heatmap``, ``offsets``, ``world``, ``mask``.
      side: input px.
    """

    config: LayerConfig
    sizes: PoseSizes
    keypoints: int = 39
    fields: tuple[str, ...] = FIELDS
    heads: tuple[str, ...] = ALL_HEADS
    side: int = 256

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> PoseOutputs:
        """Predict a pose.

        Args:
          images: (B, side, side, 3) float32 in [0, 1].
          train: batch statistics, and training-only heads.

        Returns:
          PoseOutputs.
        """
        # The order of the calls is that of the batch normalisations in the released files; the
        # importer relies on it.
        taps = Backbone(self.config, self.sizes.backbone, name="backbone")(images, train=train)
        decoded = self._decode(taps, train)  # (B, S/4, S/4, D)
        encode = self._second_encoder if self.sizes.second_encoder else self._tail
        regression = encode(taps, decoded, train)  # (B, S/128, S/128, R)
        mask_features = self._mask(taps, decoded, train) if "mask" in self.heads else None
        outputs = PoseHeads(
            self.config, self.keypoints, self.fields, self.heads, self.side, name="heads"
        )(decoded, regression, mask_features, train=train)
        return outputs.replace(features=decoded) if train else outputs

    def _lateral(self, name: str, features: int) -> Separable:
        return Separable(self.config, features, "relu6", "relu6", name=name)

    def _residuals(
        self, x: jax.Array, name: str, features: int, count: int, train: bool
    ) -> jax.Array:
        """Downsample by two, then ``count`` residual blocks."""
        x = BlazeResidual(self.config, features, 2, name=f"{name}_down")(x, train=train)
        for i in range(count):
            x = BlazeResidual(self.config, features, name=f"{name}_residual{i}")(x, train=train)
        return x

    def _decode(self, taps: dict[int, jax.Array], train: bool) -> jax.Array:
        x = self._lateral("decoder_32", self.sizes.decoder)(taps[32], train=train)
        for stride in (16, 8, 4):
            lateral = self._lateral(f"decoder_{stride}", self.sizes.decoder)(
                taps[stride], train=train
            )
            x = upsample2x(x, self.config) + lateral
        return x

    def _tail(self, taps: dict[int, jax.Array], decoded: jax.Array, train: bool) -> jax.Array:
        """The regression of Lite and Full, which reads the backbone and not the decoder."""
        x = self._lateral("regression_32", self.sizes.regression)(taps[32], train=train)
        for name, count in zip(
            ("regression_64", "regression_128"), self.sizes.tail_blocks, strict=True
        ):
            x = self._residuals(x, name, self.sizes.regression, count, train)
        return x

    def _second_encoder(
        self, taps: dict[int, jax.Array], decoded: jax.Array, train: bool
    ) -> jax.Array:
        """The regression of Heavy."""
        # Paper, 2.5: the gradient of the regression does not reach the heatmap-trained features.
        x = lax.stop_gradient(decoded)
        for stride, (features, count) in zip((8, 16, 32), self.sizes.second_encoder, strict=True):
            x = self._residuals(x, f"regression_{stride}", features, count, train)
            x = x + self._lateral(f"regression_skip_{stride}", features)(
                lax.stop_gradient(taps[stride]), train=train
            )
        for name, count in zip(
            ("regression_64", "regression_128"), self.sizes.tail_blocks, strict=True
        ):
            x = self._residuals(x, name, self.sizes.regression, count, train)
        return x

    def _mask(self, taps: dict[int, jax.Array], decoded: jax.Array, train: bool) -> jax.Array:
        if taps[2].shape[-1] == 8:
            tap = BlazeResidual(self.config, 8, name="mask_tap")(taps[2], train=train)
        else:
            tap = self._lateral("mask_tap", 8)(taps[2], train=train)
        x = upsample2x(self._lateral("mask_decoder", 8)(decoded, train=train), self.config) + tap
        for name in ("mask_half0", "mask_half1"):
            x = BlazeResidual(self.config, 8, name=name)(x, train=train)
        x = upsample2x(x, self.config)
        for name in ("mask_full0", "mask_full1"):
            x = BlazeResidual(self.config, 8, name=name)(x, train=train)
        return x
