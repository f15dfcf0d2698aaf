"""The paper's Full from scratch.

    blazepose data prepare coco_keypoints --source DIR --output records/lsp
    blazepose train paper_full --workdir runs/paper_full data.records=records/lsp

Results stand in experiments/README.md.
"""

from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig


def get_config() -> Config:
    """The experiment."""
    return Config(
        model=ModelConfig(name="paper_full"),
        data=DataConfig(records="records/lsp"),
        optimizer=OptimizerConfig(
            steps=20_000, batch_size=128, learning_rate=2e-3, ema_decay=0.999
        ),
    )
