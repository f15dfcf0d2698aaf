r"""What of the paper's design pays: Lite at 128 px without one part of it at a time.

Commands, the first once, the second for each of ``VARIANTS`` and for each seed:

    blazepose data prepare rendered_people --count 10000 --size 160 --output records/people
    blazepose train ablations:baseline --workdir runs/baseline_0 seed=0 \
        data.records=records/people data.rendered=0.0
    python tools/ablations.py runs

Data: 10,000 rendered people, who have all 33 points and the truth of what is covered.

Results (commit f28ee68, seeds 0 and 1, 6 to 11 minutes a run on two x86-64 CPU cores, with other
work beside some): docs/paper.md, "Without one part". PCK@0.2 on 200 people held out, by regression:
baseline 46.9 and 47.0, without heatmaps 41.2 and 41.5, without stopped gradients 46.0 and 47.2,
without offsets 47.6 and 46.8, without skips 46.4 and 47.7, without occlusion 48.4 and 48.5, with
wide alignment 23.7 and 21.7.
"""

import dataclasses

from blazepose_jax.training import AugmentConfig, LossConfig
from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig

VARIANTS = (
    "baseline",
    "regression_alone",
    "no_stop_gradient",
    "no_offsets",
    "no_skips",
    "no_occlusion",
    "wide",
)


def get_config(variant: str = "baseline") -> Config:
    """The experiment; ``variant`` is one of ``VARIANTS``."""
    config = Config(
        model=ModelConfig(name="paper_lite", side=128, momentum=0.95),
        data=DataConfig(rendered=1.0, people=10_000, size=160, held_out=200),
        optimizer=OptimizerConfig(steps=1_000, batch_size=16, learning_rate=3e-3, ema_decay=0.99),
        # Less than the defaults, under which so short a run learns too little to rank parts by.
        augment=AugmentConfig(
            wide=0.0, colour=0.3, occlusion=0.3, truncation=0.1, half_body=0.0, negatives=0.03
        ),
        validate_every=250,
        checkpoint_every=1_000,
    )
    return dataclasses.replace(config, **_changes(variant, config))


def _changes(variant: str, config: Config) -> dict[str, object]:
    """Fields in which a variant differs from the baseline."""
    free = (("stop_gradient", False),)
    match variant:
        case "regression_alone":
            # Behind a stopped gradient the encoder would learn nothing.
            model = dataclasses.replace(config.model, heads=(), arguments=free)
            return {"model": model, "loss": LossConfig(heatmap=0.0, offsets=0.0)}
        case "no_stop_gradient":
            return {"model": dataclasses.replace(config.model, arguments=free)}
        case "no_offsets":
            return {"loss": LossConfig(offsets=0.0)}
        case "no_skips":
            without = (("skips", False),)
            return {"model": dataclasses.replace(config.model, arguments=without)}
        case "no_occlusion":
            clear = dataclasses.replace(config.augment, occlusion=0.0, truncation=0.0)
            return {"augment": clear}
        case "wide":
            # The person anywhere near, at any angle: what alignment by the detector spares.
            anywhere = dataclasses.replace(config.augment, scale=0.3, shift=0.25, angle=3.14)
            return {"augment": anywhere}
        case _:
            return {}
