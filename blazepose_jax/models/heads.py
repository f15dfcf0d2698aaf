"""Output convolutions of the pose nets (docs/mediapipe.md, 2.4)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import Initializer
from jax.typing import DTypeLike

from blazepose_jax.models.cpu_ops import Padding
from blazepose_jax.models.layers import Conv, LayerConfig
from blazepose_jax.structs import PoseOutputs

FIELDS = ("x", "y", "z", "visibility", "presence")
ALL_HEADS = ("mask", "heatmap", "world")
# The paper's nets: heatmaps and offsets supervise the decoder in training and are gone at inference
# (paper, 2.5).
PAPER_HEADS = ("mask", "heatmap", "offsets")
ZEROS = nn.initializers.zeros_init()
# A cell of a heatmap is lit once in a hundred, sigmoid(-5) = 0.007; starting at a half would drown
# every other loss.
SCORE_BIAS_INIT = nn.initializers.constant(-5.0)


class PoseHeads(nn.Module):
    """Linear heads with bias and without batch normalisation.

    ``offsets`` exist in training only; ``heatmap`` too where ``drop_heatmap`` is set.

    Attributes:
      config: compute type.
      keypoints: K', rows of the landmark tensor.
      fields: what is predicted per keypoint.
      heads: which optional heads there are, of ``heatmap``, ``offsets``, ``world``, ``mask``.
      side: input px of the net.
      drop_heatmap: whether inference has no heatmap.
    """

    config: LayerConfig
    keypoints: int
    fields: tuple[str, ...]
    heads: tuple[str, ...]
    side: int
    drop_heatmap: bool = False

    @nn.compact
    def __call__(
        self,
        decoded: jax.Array,
        regression: jax.Array,
        mask_features: jax.Array | None,
        *,
        train: bool,
    ) -> PoseOutputs:
        """Predict.

        Args:
          decoded: (B, G, G, D), the heatmap decoder's features.
          regression: (B, 2, 2, R), the regression encoder's.
          mask_features: (B, M, M, C), or None without a mask head.
          train: whether training-only heads run.

        Returns:
          PoseOutputs.
        """
        batch, k = decoded.shape[0], self.keypoints
        mask = self._head(mask_features, "mask", 1, 3) if mask_features is not None else None
        # Every init makes the training-only heads, so that training and inference share one set of
        # parameters.
        training = train or self.is_initializing()
        heatmap = offsets = world = None
        if "heatmap" in self.heads and (training or not self.drop_heatmap):
            heatmap = self._head(decoded, "heatmap", k, bias_init=SCORE_BIAS_INIT)
        if "offsets" in self.heads and training:
            offsets = self._head(decoded, "offsets", 2 * k)
        landmarks = self._vector(regression, "landmarks", k * len(self.fields), self._center)
        landmarks = landmarks.reshape(batch, k, len(self.fields))
        if "world" in self.heads:
            world = self._vector(regression, "world", 3 * k).reshape(batch, k, 3)
        presence = self._vector(regression, "presence", 1)
        return PoseOutputs(landmarks, presence, mask, heatmap, offsets, world)

    def _head(
        self,
        x: jax.Array,
        name: str,
        features: int,
        kernel: int = 1,
        padding: Padding = "SAME",
        bias_init: Initializer = ZEROS,
    ) -> jax.Array:
        # A linear convolution has the same parameters and values in training and at inference.
        head = Conv(
            self.config.exact,
            features,
            kernel,
            padding=padding,
            norm=False,
            bias_init=bias_init,
            name=name,
        )
        return head(x, train=False)

    def _vector(
        self, x: jax.Array, name: str, features: int, bias_init: Initializer = ZEROS
    ) -> jax.Array:
        """(B, g, g, R) to (B, features) by a kernel as large as the map."""
        return self._head(x, name, features, x.shape[1], "VALID", bias_init).reshape(
            x.shape[0], features
        )

    def _center(
        self, key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
    ) -> jax.Array:
        """Biases by which x and y start in the middle of the crop."""
        start = [self.side / 2 if field in ("x", "y") else 0.0 for field in self.fields]
        return jnp.tile(jnp.asarray(start, dtype), self.keypoints)
