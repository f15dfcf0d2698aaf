r"""Google's detector from scratch, and as released, fine-tuned to put the right person first.

Commands:

    blazepose train detector --workdir runs/detector
    blazepose data label coco_keypoints --source DIR --leave-out held_out.txt --output labelled
    blazepose data prepare coco_keypoints --scenes --size 256 --source labelled --images DIR \
        --output records/scenes
    blazepose train detector data.records=records/scenes data.rendered=0.5 \
        --workdir runs/detector_photographs
    blazepose train detector:released --init released-full --workdir runs/detector_released \
        optimizer.steps=1500

Data: endless rendered scenes of up to three people; photographs in COCO's format with
``data.records``, in which a teacher has labelled everybody (``data label``), or bystanders would be
learned as background.

Results:

- ``released`` on 5,691 photographs of LSP and LSP Extended, 1,500 steps in 48 minutes on two
  x86-64 CPU cores (commit fd8d642, jax 0.10.2, seed 0): the first ROI is right for 84.5 % of 491
  people held out, Google's for 80.0 % (+1.4 to +7.5); it ships as ``detector.lsp``.
  docs/results.md, "Detectors", has the rest.
- ``scratch`` is written for a GPU and was not run to its end.
"""

from blazepose_jax.training import DetectorConfig, TeacherConfig
from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig

VARIANTS = ("scratch", "released")


def get_config(variant: str = "scratch") -> Config:
    """The experiment; ``variant`` is one of ``VARIANTS``."""
    if variant == "released":
        return Config(
            model=ModelConfig(name="detector", norm="frozen"),
            data=DataConfig(records="records/scenes", rendered=0.125, size=256, held_out=300),
            optimizer=OptimizerConfig(
                steps=2_000, batch_size=16, learning_rate=1e-4, ema_decay=0.995
            ),
            # Google's finds people at any angle alike. Little shift: whom a photograph is taken of
            # stands rather in its middle.
            detector=DetectorConfig(shift=0.08, any_angle=0.7, order=0.5),
            teacher=TeacherConfig(weights="init"),
            validate_every=200,
            checkpoint_every=200,
        )
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
