"""Google's Full architecture from scratch: batch normalisation, its own heatmaps kept at inference.

    blazepose data prepare coco_keypoints --source DIR --output records/lsp
    blazepose train full --workdir runs/full data.records=records/lsp

Results stand in experiments/README.md.
"""

from blazepose_jax.models import ALL_HEADS
from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig


def get_config() -> Config:
    """The experiment."""
    return Config(
        model=ModelConfig(name="full", heads=ALL_HEADS),
        data=DataConfig(records="records/lsp", rendered=0.25),
        optimizer=OptimizerConfig(
            steps=20_000, batch_size=128, learning_rate=2e-3, ema_decay=0.999
        ),
    )
