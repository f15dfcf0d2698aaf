"""Google's Lite, unfolded and fine-tuned on real people, with itself as the teacher of what
nobody labelled.

    blazepose import pose_detection.tflite pose_landmark_lite.tflite --output weights/lite
    blazepose data prepare coco_keypoints --source ../shared/data/lsp_train --output records/lsp
    blazepose train finetune_lite --init weights/lite --workdir runs/finetune_lite
    teacher.weights=weights/lite

A second teacher may be better than itself: teacher.weights=weights/full. Results stand in
experiments/README.md.
"""

from blazepose_jax.models import ALL_HEADS
from blazepose_jax.training import AugmentConfig, LossConfig, TeacherConfig
from blazepose_jax.training.config import Config, DataConfig, ModelConfig, OptimizerConfig


def get_config() -> Config:
    """The experiment."""
    return Config(
        model=ModelConfig(name="lite", heads=ALL_HEADS, norm="frozen"),
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
        teacher=TeacherConfig(weights="weights/lite"),
        validate_every=60,
        checkpoint_every=60,
    )
