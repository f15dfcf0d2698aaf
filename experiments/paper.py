"""The paper's nets from scratch, on real people: Lite, Full, and Lite at 128 px for two CPU cores.

Commands:

    blazepose data prepare coco_keypoints --source TRAIN --output records/lsp
    blazepose train paper:lite --workdir runs/paper_lite data.records=records/lsp
    blazepose train paper:full --workdir runs/paper_full data.records=records/lsp
    blazepose train paper:lite_cpu --workdir runs/paper_lite_cpu data.records=records/lsp
    blazepose evaluate --weights runs/paper_lite_cpu/weights --data TEST --decode regression

Data: photographs of people with at least shoulders and hips labelled, in COCO's format. Measured on
LSP and LSP Extended's training people, 6,812 of them, of whom 200 are held out.

Results:

- ``lite`` and ``full`` at 256 px are written for a GPU and have not been run to their end.
- ``lite_cpu``: 33 minutes on two x86-64 CPU cores with other work beside it (commit 40f59de, jax
  0.10.2, seed 0). On LSP's test half (1,000 people, ROI from the truth, regression decode): PCK@0.2
  of 12 joints 35.5, PCK@0.1 12.6, where the median training pose has 32.6 at 0.2. The loop's own
  PCK@0.2 on the people held out went 18.4, 19.1, 21.5, 26.6, 31.5, 32.7, 34.2, 35.9, 36.9, 36.7,
  37.2 at every 200th step.
- ``lite_cpu`` by Heavy's labels, after rendered people: 42.7 / 16.3 in the same terms, in 21
  minutes after 6 to 11 of rendered ones; ``full`` at 128 px likewise: 45.0 / 17.0, in 27 minutes
  after 7. experiments/README.md has the words and the curves.
- Over-fitting ``lite`` at 128 px on 16 people of LSP's training half, every field of ``augment``
  zero, ``optimizer.batch_size=16 optimizer.learning_rate=2e-3 optimizer.ema_decay=0.9
  model.momentum=0.9 data.held_out=0``: PCK@0.2 by regression on these 16 was 46 after 50 steps,
  99.0 after 300, 99.5 from 450 on (seed 0, 8 minutes, the same cores).
"""

from blazepose_jax.training import AugmentConfig
from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig

VARIANTS = ("lite", "full", "lite_cpu")


def get_config(variant: str = "lite") -> Config:
    """The experiment; ``variant`` is one of ``VARIANTS``."""
    if variant == "lite_cpu":
        return lite_cpu()
    return Config(
        model=ModelConfig(name=f"paper_{variant}"),
        data=DataConfig(records="records/lsp"),
        optimizer=OptimizerConfig(
            steps=20_000, batch_size=128, learning_rate=2e-3, ema_decay=0.999
        ),
    )


def lite_cpu() -> Config:
    """A first number in about half an hour on two CPU cores: evidence that it learns, no more."""
    return Config(
        # A step at 128 px costs a quarter of one at 256 px.
        model=ModelConfig(name="paper_lite", side=128),
        data=DataConfig(records="records/lsp"),
        optimizer=OptimizerConfig(
            steps=2_200, batch_size=32, learning_rate=1.5e-3, ema_decay=0.995
        ),
        # Weak, because every person is seen about ten times only.
        augment=AugmentConfig(wide=0.0, colour=0.4, occlusion=0.2, truncation=0.05, negatives=0.05),
        validate_every=200,
        checkpoint_every=200,
    )
