"""The output convolutions of every pose net: features come in, PoseOutputs leave."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from blazepose_jax.models.layers import Conv, LayerConfig
from blazepose_jax.structs import PoseOutputs

FIELDS = ("x", "y", "z", "visibility", "presence")
ALL_HEADS = ("mask", "heatmap", "world")
# The paper's nets: heatmaps and offsets supervise the decoder in training and are gone at inference
# (paper, 2.5).
PAPER_HEADS = ("mask", "heatmap", "offsets")
ZEROS = nn.initializers.zeros_init()
# A cell of a heatmap is lit once in a hundred; starting at a half would drown every other loss.
SCORE_BIAS_INIT = nn.initializers.constant(-5.0)


class PoseHeads(nn.Module):
    """Linear heads with bias and without batch normalisation.

    ``offsets`` exist in training only; ``heatmap`` too where ``drop_heatmap`` is set.
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

        def head(x, name, features, kernel=1, padding="SAME", bias_init=ZEROS):
            y = Conv(
                self.config,
                features,
                kernel,
                padding=padding,
                norm=False,
                bias_init=bias_init,
                name=name,
            )(x, train=train)
            return y.astype(jnp.float32)

        def vector(name, features, bias_init=ZEROS):
            return head(
                regression, name, features, regression.shape[1], "VALID", bias_init
            ).reshape(batch, features)

        def in_training(name, wanted):
            # Made by every init, so that training and inference share one set of parameters.
            return name in self.heads and (wanted or train or self.is_initializing())

        mask = head(mask_features, "mask", 1, 3) if mask_features is not None else None
        heatmap = (
            head(decoded, "heatmap", k, bias_init=SCORE_BIAS_INIT)
            if in_training("heatmap", not self.drop_heatmap)
            else None
        )
        offsets = head(decoded, "offsets", 2 * k) if in_training("offsets", False) else None
        landmarks = vector("landmarks", k * len(self.fields), self._center).reshape(
            batch, k, len(self.fields)
        )
        world = vector("world", 3 * k).reshape(batch, k, 3) if "world" in self.heads else None
        presence = vector("presence", 1)
        return PoseOutputs(landmarks, presence, mask, heatmap, offsets, world)

    def _center(self, key, shape, dtype=jnp.float32):
        """X and y start in the middle of the crop."""
        start = [self.side / 2 if field in ("x", "y") else 0.0 for field in self.fields]
        return jnp.tile(jnp.asarray(start, dtype), self.keypoints)
