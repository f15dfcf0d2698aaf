"""The architectures of Google's Lite and Full from scratch, with batch normalisation and heatmaps.

Commands, the same for ``full``:

    blazepose data prepare coco_keypoints --source DIR --output records/lsp
    blazepose train released:lite --workdir runs/lite data.records=records/lsp

Data: photographs of people with at least shoulders and hips labelled, in COCO's format; a quarter
of every batch is rendered people.

Results: written for a GPU and not run to its end.
"""

from blazepose_jax.models import ALL_HEADS
from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig

VARIANTS = ("lite", "full")


def get_config(variant: str = "lite") -> Config:
    """The experiment; ``variant`` is one of ``VARIANTS``."""
    return Config(
        model=ModelConfig(name=variant, heads=ALL_HEADS),
        data=DataConfig(records="records/lsp", rendered=0.25),
        optimizer=OptimizerConfig(
            steps=20_000, batch_size=128, learning_rate=2e-3, ema_decay=0.999
        ),
    )
