"""The paper's Lite from scratch on two CPU cores in about half an hour.

An honest first number, no more.

    blazepose data prepare coco_keypoints --source ../shared/data/lsp_train --output records/lsp
    blazepose train paper_lite_cpu --workdir runs/paper_lite_cpu data.records=records/lsp
    blazepose evaluate --weights runs/paper_lite_cpu/weights --data ../shared/data/lsp_test --decode
    regression

128 px make a step four times cheaper than 256; augmentation is weak because every person is seen
about ten times. Results stand in experiments/README.md.
"""

from blazepose_jax.training import AugmentConfig
from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig


def get_config() -> Config:
    """The experiment."""
    return Config(
        model=ModelConfig(name="paper_lite", side=128),
        data=DataConfig(records="records/lsp"),
        optimizer=OptimizerConfig(
            steps=2_200, batch_size=32, learning_rate=1.5e-3, ema_decay=0.995
        ),
        augment=AugmentConfig(wide=0.0, colour=0.4, occlusion=0.2, truncation=0.05, negatives=0.05),
        validate_every=200,
        checkpoint_every=200,
    )
