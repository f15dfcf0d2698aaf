r"""Google's Lite or Full, unfolded and fine-tuned on real people, on any set of keypoints.

The net that a run begins with answers for what nobody labelled; ``teacher.weights=OTHER`` takes a
better one. Steps, rates and augmentation suit the number of people (``SIZES``).

Commands, the same for ``full``:

    blazepose data prepare coco_keypoints --source TRAIN --leave-out held_out.txt \
      --output records/lsp
    blazepose train finetune:lite --init released-lite --workdir runs/finetune_lite
    blazepose evaluate --weights runs/finetune_lite/weights --data TEST

Data: photographs of people in COCO's format; of LSP without the 500 people of
``experiments/lsp_held_out.txt`` (``--leave-out``), who judge: ids of a COCO file of LSP, which
docs/experiments.md describes; ``data prepare lsp`` numbers people otherwise.

Results:

- ``lite`` on 150 people and 8 points, seeds 0, 1 and 2 (commit e352484, jax 0.10.2; about eight
  minutes on two x86-64 cores with other work beside it): PCK@0.2 / @0.1 by refine on 150 people
  held out 74.6 / 49.5, 74.4 / 50.8 and 73.6 / 49.2, where Google's Lite has 68.3 / 44.9; on 20
  people 71.8 / 45.3. docs/own_keypoints.md has the commands and more sets.
- ``lite`` on all of LSP and LSP Extended's training people, 6,812 of them, of whom 200 were held
  out, with Google's Full as teacher (``teacher.weights=released-full``): 58 minutes on two x86-64
  CPU cores with other work beside it (commit 40f59de, jax 0.10.2, seed 0). On LSP's test half
  (1,000 people, ROI from the truth), PCK@0.2 / @0.1 of 12 joints: 82.3 / 55.2 by regression
  (Google's Lite as released 81.5 / 54.4), 83.6 / 62.5 by refine (as released 83.4 / 63.3). The
  loop's own PCK@0.2 on the people held out was 81.1, 81.9, 82.0, 82.0, 82.2, 82.1, 82.3, 82.2 at
  every 60th step. PCK@0.1 by refine fell by 0.8: the heatmaps that it pulls points to have moved.
  Since then the ROI points are taught by the teacher, not by labels; that was not measured.
- ``lite`` and ``full`` on people labelled by Heavy, averaged with Google's weights: they ship as
  ``lite.lsp`` and ``full.lsp``; their cards have command, hours and results.
"""

from blazepose_jax.models import ALL_HEADS
from blazepose_jax.training import AugmentConfig, LossConfig, TeacherConfig
from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig

VARIANTS = ("lite", "full")
# Of small sets the labels are few and good: nobody doubts them, and harder pictures than there will
# be teach less than more of the real ones.
_SMALL = (
    "data.held_out=20",
    "optimizer.batch_size=16",
    "optimizer.learning_rate=3e-4",
    "teacher.doubt=False",
    "teacher.peaks=0.0",
    "augment.wide=0.0",
    "augment.occlusion=0.15",
    "augment.truncation=0.0",
    "augment.negatives=0.02",
    "validate_every=30",
    "checkpoint_every=30",
    "quick_compile=True",
)
SIZES = (
    (40, (*_SMALL, "optimizer.steps=60", "optimizer.learning_rate=1e-4")),
    (300, (*_SMALL, "optimizer.steps=150")),
    (
        2_000,
        (
            *_SMALL,
            "optimizer.steps=200",
            "data.held_out=100",
            "validate_every=50",
            "checkpoint_every=50",
        ),
    ),
)


def get_config(variant: str = "lite") -> Config:
    """The experiment; ``variant`` is one of ``VARIANTS``."""
    return Config(
        model=ModelConfig(name=variant, heads=ALL_HEADS, norm="frozen"),
        data=DataConfig(records="records/lsp"),
        optimizer=OptimizerConfig(
            steps=480,
            batch_size=32,
            learning_rate=2e-4,
            ema_decay=0.99,
            groups=(("backbone", 0.15), ("decoder", 0.5), ("mask", 0.1)),
        ),
        augment=AugmentConfig(
            wide=0.1, colour=0.4, occlusion=0.3, truncation=0.1, half_body=0.0, negatives=0.05
        ),
        loss=LossConfig(heatmap=0.5, visibility=0.05, presence=0.05, pose_presence=0.05),
        teacher=TeacherConfig(weights="init"),
        validate_every=60,
        checkpoint_every=60,
        sizes=SIZES,
    )
