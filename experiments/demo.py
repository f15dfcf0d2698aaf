"""A small net, from nothing to twice the median pose's PCK in about three minutes on two CPU cores.

    make demo

It learns from rendered people alone; people it has never seen are its test.
"""

from blazepose_jax.training import AugmentConfig
from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig


def get_config() -> Config:
    """The experiment."""
    return Config(
        model=ModelConfig(name="demo", side=128, heads=("heatmap",), momentum=0.9),
        data=DataConfig(rendered=1.0, size=180, held_out=128, people=2_000),
        optimizer=OptimizerConfig(steps=850, batch_size=16, learning_rate=3e-3, ema_decay=0.97),
        augment=AugmentConfig(
            scale=0.05,
            shift=0.05,
            angle=0.1,
            wide=0.0,
            colour=0.2,
            occlusion=0.0,
            truncation=0.0,
            half_body=0.0,
            negatives=0.03,
        ),
        validate_every=425,
        checkpoint_every=425,
        quick_compile=True,
    )
