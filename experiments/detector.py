"""The paper's person detector from scratch, on rendered scenes and, if you have any, photographs.

Commands:

    blazepose train detector --workdir runs/detector
    blazepose data prepare coco_keypoints --scenes --size 256 --source DIR --output records/scenes
    blazepose train detector --workdir runs/detector data.records=records/scenes data.rendered=0.5

Data: endless rendered scenes of up to three people; photographs in COCO's format with
``data.records``.

Results: written for a GPU and not run to its end.
"""

from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig


def get_config() -> Config:
    """The experiment."""
    # Boxes are predicted in px: their last layers have a long way to go.
    return Config(
        model=ModelConfig(name="detector"),
        data=DataConfig(rendered=1.0, size=256, held_out=256),
        optimizer=OptimizerConfig(
            steps=20_000,
            batch_size=64,
            learning_rate=1e-3,
            ema_decay=0.999,
            groups=(("boxes", 10.0),),
        ),
    )
