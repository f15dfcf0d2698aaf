"""A small net, from nothing to twice the median pose's PCK in less than three minutes on two CPU cores.

    make demo

It learns from rendered people alone; people it has never seen are its test.
"""

from blazepose_jax.configs import Config, DataConfig, ModelConfig, OptimizerConfig
from blazepose_jax.objectives import AugmentConfig


def get_config() -> Config:
    """The experiment."""
    return Config(model=ModelConfig(name="demo", side=128),
                  data=DataConfig(rendered=1.0, size=180, held_out=128, people=100_000),
                  optimizer=OptimizerConfig(steps=250, batch_size=32, learning_rate=3e-3, ema_decay=0.98),
                  augment=AugmentConfig(wide=0.0, angle=0.1, colour=0.2, occlusion=0.0, truncation=0.0, half_body=0.0,
                                        negatives=0.03),
                  validate_every=50, checkpoint_every=125)
