"""A run of seconds that touches everything: for CI, and to see whether an installation works.

blazepose train smoke --workdir runs/smoke data.records=records/lsp
"""

from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig


def get_config() -> Config:
    """The experiment."""
    return Config(
        model=ModelConfig(name="smoke", side=128),
        data=DataConfig(records="records/lsp", held_out=4),
        optimizer=OptimizerConfig(steps=30, batch_size=8, learning_rate=3e-3, ema_decay=0.9),
        quick_compile=True,
        log_every=5,
        validate_every=15,
        checkpoint_every=10,
    )
