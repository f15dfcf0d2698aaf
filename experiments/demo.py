"""A small net from scratch on rendered people, which `blazepose demo` trains.

Command:

    make demo

Data: 2,000 rendered people; the 128 held-out people have another seed.

Results (commit a145a92, no compiled programs kept, seed 0): 265 s for 850 steps with rendering and
compilation, on two x86-64 CPU cores with other work beside it. On the 128 held-out people: PCK@0.2
of all 33 points 55.6 by heatmap and flip; the median pose in the true ROI has 26.8.
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
