"""A run of seconds through everything, for CI and to see whether an installation works.

Commands:

    blazepose train smoke --workdir runs/smoke
    blazepose train smoke --workdir runs/smoke data.records=records/lsp

Data: none at hand, 64 rendered people; a records folder takes their place.

Results: none, 30 steps teach nothing.
"""

from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig


def get_config() -> Config:
    """The experiment."""
    return Config(
        model=ModelConfig(name="smoke", side=128),
        # Without records all people are rendered; with records none of them, as rendered is 0.
        data=DataConfig(records="", held_out=4, people=64, size=160),
        optimizer=OptimizerConfig(steps=30, batch_size=8, learning_rate=3e-3, ema_decay=0.9),
        quick_compile=True,
        log_every=5,
        validate_every=15,
        checkpoint_every=10,
    )
