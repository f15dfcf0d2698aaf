"""The paper's pose net, as released in 2020 (docs/mediapipe.md, 2.6)."""

import dataclasses

import flax.linen as nn
import jax
from jax import lax

from blazepose_jax.models.heads import FIELDS, PAPER_HEADS, PoseHeads
from blazepose_jax.models.layers import BlazeResidual, Conv, LayerConfig, Separable
from blazepose_jax.models.resize import upsample2x
from blazepose_jax.structs import PoseOutputs


@dataclasses.dataclass(frozen=True)
class PaperSizes:
    """Channels and residual blocks."""

    channels: tuple[int, int, int, int, int]  # at strides 2, 4, 8, 16, 32
    decoder: int  # channels of the heatmap decoder
    # After the downsampling block, at strides 4 to 32.
    encoder_blocks: tuple[int, int, int, int] = (3, 4, 5, 6)
    # Likewise, at strides 8 to 128.
    regression_blocks: tuple[int, int, int, int, int] = (4, 5, 6, 7, 7)
    drop_heatmap: bool = True  # at inference, as the paper does


# Full is that of docs/mediapipe.md, 2.6; Lite is narrower, to the paper's 1.3 million parameters.
SIZES = {
    "paper_full": PaperSizes((24, 48, 96, 192, 288), 48),
    "paper_lite": PaperSizes((16, 32, 64, 120, 168), 32),
    # For `make demo`: small enough to learn something in two minutes on two cores.
    "demo": PaperSizes((12, 24, 40, 64, 96), 32, (0, 0, 1, 1), (0, 0, 0, 0, 0), drop_heatmap=False),
    # For tests and smoke runs: every kind of block once, compiled in seconds.
    "smoke": PaperSizes((8, 16, 24, 32, 32), 16, (0, 0, 0, 0), (0, 0, 0, 0, 0)),
}


class PaperPose(nn.Module):
    """Encoder, decoder and regression encoder of the paper's figure 4.

    Heatmap and offset maps supervise encoder and decoder in training and are dropped at inference.
    The regression encoder reads the decoder and every stage of the encoder through
    ``lax.stop_gradient``, so it learns from the heatmap-trained features and never changes them
    (paper, 2.5).

    Attributes:
      config: parameters with or without batch normalisation, compute type.
      sizes: channels and residual blocks.
      keypoints: K', rows of the landmark tensor.
      fields: what is predicted per keypoint.
      heads: which optional heads there are, of ``heatmap``, ``offsets``, ``world``, ``mask``.
      side: input px.
      stop_gradient: False lets the regression's gradient into what it reads; for ablations.
      skips: False leaves the regression encoder the decoder's map alone; for ablations.
    """

    config: LayerConfig
    sizes: PaperSizes
    keypoints: int = 39
    fields: tuple[str, ...] = FIELDS
    heads: tuple[str, ...] = PAPER_HEADS
    side: int = 256
    stop_gradient: bool = True
    skips: bool = True

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> PoseOutputs:
        """Predict a pose.

        Args:
          images: (B, side, side, 3) float32 in [0, 1].
          train: batch statistics, and heatmap and offset heads.

        Returns:
          PoseOutputs.
        """
        taps = self._encode(images, train)
        decoded = self._decode(taps, train)  # (B, S/4, S/4, D)
        regression = self._regress(taps, decoded, train)  # (B, S/128, S/128, R)
        mask_features = self._mask(taps, decoded, train) if "mask" in self.heads else None
        outputs = PoseHeads(
            self.config,
            self.keypoints,
            self.fields,
            self.heads,
            self.side,
            self.sizes.drop_heatmap,
            name="heads",
        )(decoded, regression, mask_features, train=train)
        return outputs.replace(features=decoded) if train else outputs

    def _stage(self, x: jax.Array, name: str, features: int, blocks: int, train: bool) -> jax.Array:
        """Downsample by two, then ``blocks`` residual blocks."""
        for i in range(blocks + 1):
            label, stride = (f"{name}_residual{i - 1}", 1) if i else (f"{name}_down", 2)
            x = BlazeResidual(self.config, features, stride, "relu", None, name=label)(
                x, train=train
            )
        return x

    def _lateral(self, x: jax.Array, name: str, features: int, train: bool) -> jax.Array:
        return Separable(self.config, features, "relu", name=name)(x, train=train)

    def _encode(self, images: jax.Array, train: bool) -> dict[int, jax.Array]:
        """{stride: features} for strides 2 to 32."""
        x = Conv(
            self.config, self.sizes.channels[0], kernel=3, stride=2, activation="relu", name="stem"
        )(images, train=train)
        for i in range(2):
            x = BlazeResidual(
                self.config, self.sizes.channels[0], 1, "relu", None, name=f"encoder_2_residual{i}"
            )(x, train=train)
        taps = {2: x}
        rows = zip((4, 8, 16, 32), self.sizes.encoder_blocks, self.sizes.channels[1:], strict=True)
        for stride, blocks, features in rows:
            taps[stride] = x = self._stage(x, f"encoder_{stride}", features, blocks, train)
        return taps

    def _decode(self, taps: dict[int, jax.Array], train: bool) -> jax.Array:
        x = self._lateral(taps[32], "decoder_32", self.sizes.decoder, train)
        for stride in (16, 8, 4):
            x = upsample2x(x, self.config) + self._lateral(
                taps[stride], f"decoder_{stride}", self.sizes.decoder, train
            )
        return x

    def _regress(self, taps: dict[int, jax.Array], decoded: jax.Array, train: bool) -> jax.Array:
        stop = lax.stop_gradient if self.stop_gradient else lambda x: x
        x = stop(decoded)
        widths = {
            **dict(zip((8, 16, 32), self.sizes.channels[2:], strict=True)),
            64: self.sizes.channels[4],
            128: self.sizes.channels[4],
        }
        for stride, blocks in zip((8, 16, 32, 64, 128), self.sizes.regression_blocks, strict=True):
            x = self._stage(x, f"regression_{stride}", widths[stride], blocks, train)
            if stride in taps and self.skips:
                name = f"regression_skip_{stride}"
                x = x + self._lateral(stop(taps[stride]), name, widths[stride], train)
        return x

    def _mask(self, taps: dict[int, jax.Array], decoded: jax.Array, train: bool) -> jax.Array:
        x = upsample2x(self._lateral(decoded, "mask_decoder", 8, train), self.config)
        x = x + self._lateral(taps[2], "mask_tap", 8, train)
        return self._lateral(x, "mask_last", 8, train)
