"""The configuration of an experiment, and overrides like ``optimizer.steps=100``."""

import ast
import dataclasses
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from blazepose_jax.data.readers import DataConfig, count_records
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.models import FIELDS, PAPER_HEADS
from blazepose_jax.training.augment import WIDE_SCALE, AugmentConfig
from blazepose_jax.training.detector_targets import DetectorConfig
from blazepose_jax.training.distillation import TeacherConfig
from blazepose_jax.training.experiments import read_experiment
from blazepose_jax.training.pose_loss import LossConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which network."""

    name: str = "paper_lite"
    side: int = 256
    fields: tuple[str, ...] = FIELDS
    heads: tuple[str, ...] = PAPER_HEADS
    # Compute type; parameters and statistics stay float32.
    bfloat16: bool = False
    # How convolutions are lowered, of models.LayerConfig.
    convolution: str = "auto"
    # Of batch normalisation's running statistics; runs of a few hundred steps need 0.9.
    momentum: float = 0.99
    # "frozen" keeps the running statistics, "folded" has no normalisation; for fine-tuning.
    norm: str = "batch"
    # (name, value) of what a network of an experiment file takes besides, like ("width", 16).
    arguments: tuple[tuple[str, str | int | float | tuple], ...] = ()


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Gradient descent with warm-up and cosine decay."""

    # Or "sgd".
    rule: str = "adamw"
    steps: int = 10_000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.01
    clip: float = 1.0
    ema_decay: float = 0.999
    # Micro-batches, one after the other, that an update takes the mean gradient of: less memory for
    # the same batch_size. Batch statistics are those of each micro-batch.
    accumulate: int = 1
    # (beginning of a parameter's path, factor on its learning rate), like ("backbone", 0.1); the
    # first that fits. 0 freezes: no gradient is computed.
    groups: tuple[tuple[str, float], ...] = ()
    # (head, factor on the learning rate of the rows of keypoints that --init does not predict).
    # Landmarks are in px: Adam's steps of 2e-4 would take thousands to cross a crop.
    fresh_rows: tuple[tuple[str, float], ...] = (
        ("landmarks", 50.0),
        ("heatmap", 10.0),
        ("world", 5.0),
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    teacher: TeacherConfig = TeacherConfig()
    # In place of the three above where a detector is trained.
    detector: DetectorConfig = DetectorConfig()
    seed: int = 0
    # On CPU: compiles in half the time to slightly slower steps; for runs of minutes.
    quick_compile: bool = False
    log_every: int = 20
    validate_every: int = 500
    checkpoint_every: int = 500
    # (records, overrides): what suits smaller sets; the first that has at least as many records.
    sizes: tuple[tuple[int, tuple[str, ...]], ...] = ()


def override(config: Any, words: Sequence[str]) -> Any:
    """Apply ``field.path=value`` words.

    Args:
      config: a frozen dataclass of frozen dataclasses.
      words: values are Python literals; text needs no quotes.

    Returns:
      The changed config.

    Raises:
      BlazePoseError: no such field (the nearest is suggested), or a value of another type.
    """
    for word in words:
        path, equals, text = word.partition("=")
        if not equals:
            raise BlazePoseError(
                f"{word!r} is no override: write field.path=value, like optimizer.steps=100"
            )
        config = _replace(config, path.split("."), text, path)
    return config


def _replace(config: Any, path: list[str], text: str, whole: str) -> Any:
    fields = [f.name for f in dataclasses.fields(config)]
    check_name(path[0], fields, f"field {whole!r}: part")
    current = getattr(config, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(current):
            raise BlazePoseError(f"{whole!r} goes too deep: {path[0]} is a value")
        return dataclasses.replace(config, **{path[0]: _replace(current, path[1:], text, whole)})
    if dataclasses.is_dataclass(current):
        inner = [f.name for f in dataclasses.fields(current)]
        raise BlazePoseError(f"{whole!r} is a group: name one of its fields, {', '.join(inner)}")
    return dataclasses.replace(config, **{path[0]: _parse(current, text, whole)})


def _parse(current: Any, text: str, whole: str) -> Any:
    if isinstance(current, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(current):
        raise BlazePoseError(
            f"{whole} is {text!r}: it must be of type {type(current).__name__}, like {current!r}"
        )
    return value


# Numbers of a config that count something, and the least of each.
COUNTS = {
    "optimizer.steps": 1,
    "optimizer.batch_size": 1,
    "data.people": 1,
    "data.size": 1,
    "data.held_out": 0,
    "log_every": 1,
    "validate_every": 1,
    "checkpoint_every": 1,
}
SHARES = (
    *(f"augment.{name}" for name in ("wide", "flip", "occlusion", "truncation", "half_body")),
    "augment.negatives",
    "detector.flip",
    "detector.any_angle",
)
# Pairs of a name and a value.
PAIRS = ("optimizer.groups", "optimizer.fresh_rows", "model.arguments")


def check_config(config: Config) -> None:
    """Check values that types do not.

    Raises:
      BlazePoseError: a count that is too small, a share or seed that is none, squares without a
        size, or pairs that are none.
    """
    for name, least in COUNTS.items():
        value = attrgetter(name)(config)
        if value < least:
            raise BlazePoseError(f"{name} is {value}: it must be {least} or more")
    if not 0 <= config.seed < 2**32:
        raise BlazePoseError(f"seed is {config.seed}: it must be from 0 to {2**32 - 1}")
    for name in SHARES:
        value = attrgetter(name)(config)
        if not 0 <= value <= 1:
            raise BlazePoseError(f"{name} is {value}: it is a share, from 0 to 1")
    for name in ("data.trusted", "data.rendered"):
        share, size = attrgetter(name)(config), config.optimizer.batch_size
        if 0 < share < 1 and not 0 < (first := round(share * size)) < size:
            raise BlazePoseError(
                f"{name} is {share}, which is {first} of the {size} people of a batch: give a share"
                " that leaves at least one of each kind, or a larger batch"
            )
    scale = config.augment.scale
    if not 0 <= (widest := scale * (WIDE_SCALE if config.augment.wide else 1)) < 1:
        raise BlazePoseError(
            f"augment.scale is {scale}, so that squares shrink by up to {widest:.0%}: give less"
            f" than {1 / WIDE_SCALE:g}, or less than 1 with augment.wide=0"
        )
    for name in PAIRS:
        value = attrgetter(name)(config)
        if not all(
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)
            for pair in value
        ):
            raise BlazePoseError(
                f"{name} is {value!r}: it must be pairs of a name and a value, like"
                " (('backbone', 0.1),), with the comma"
            )


def configure(experiment: str, words: Sequence[str]) -> Config:
    """The config of a run.

    Args:
      experiment: as for ``load_experiment``.
      words: overrides; they beat what the size of the data suggests.

    Returns:
      The experiment's config, changed for the number of records and by ``words``.

    Raises:
      BlazePoseError: as for ``load_experiment``, ``override`` and ``check_config``; no such
        records.
    """
    config = load_experiment(experiment)
    changed = override(config, words)
    check_config(changed)
    asked = {word.partition("=")[0] for word in words}
    if changed.data.rendered == 1 and "data.records" in asked and "data.rendered" not in asked:
        raise BlazePoseError(
            f"data.records is {changed.data.records!r}, and {experiment} has data.rendered=1, which"
            " leaves no record in a batch: add data.rendered=0, or a share below 1"
        )
    if not (config.sizes and changed.data.records):
        return changed
    count = count_records(changed.data.records)
    suited = next((overrides for size, overrides in changed.sizes if count <= size), ())
    changed = override(override(config, suited), words)
    check_config(changed)  # shares are of the batch that suits the data
    return changed


def load_experiment(name: str) -> Config:
    """The config of an experiment.

    Args:
      name: ``NAME`` or ``NAME:VARIANT`` of experiments/, or a path to a Python file with
        ``get_config``, which may be followed by ``:VARIANT``, too.

    Raises:
      BlazePoseError: no such experiment or variant, or a file that gives no Config.
    """
    config = read_experiment(name)
    if not isinstance(config, Config):
        raise BlazePoseError(
            f"experiment {name!r} gives a {type(config).__name__}: its get_config() must return a"
            " Config"
        )
    return config
