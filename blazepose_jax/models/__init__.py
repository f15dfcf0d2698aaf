"""The zoo: networks by name.

``MODELS`` lists them, ``create_model`` builds a Flax module, ``create_network`` binds variables to
one.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.models import paper_pose, released_pose
from blazepose_jax.models.detector import Detector, PaperDetector
from blazepose_jax.models.heads import ALL_HEADS, FIELDS, PAPER_HEADS
from blazepose_jax.models.layers import FOLDED, LayerConfig
from blazepose_jax.skeleton import MAX_KEYPOINTS, Skeleton
from blazepose_jax.structs import Array, DetectorOutputs, Network, PoseOutputs, Variables

MAX_ROWS = MAX_KEYPOINTS + 6  # of a skeleton, and auxiliary ones
MAX_SIDE = 1024  # input px
POSE_ARGUMENTS = ("keypoints", "fields", "heads", "side")

__all__ = [
    "ALL_HEADS",
    "FIELDS",
    "FOLDED",
    "MODELS",
    "PAPER_HEADS",
    "LayerConfig",
    "ModelSpec",
    "create_model",
    "create_network",
    "spec_of",
]


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """What the rest of the package must know of a network before it is built.

    Attributes:
      make: (config, **arguments) -> module.
      kind: ``detector`` or ``pose``.
      side: input px.
      mean: the grey level that becomes 0.
      std: grey levels per unit.
      anchors: A of a detector.
      side_step: sides of a pose net are multiples of it.
      heads: of a pose net, optional ones besides ``ALL_HEADS`` and ``PAPER_HEADS``.
      arguments: names of further arguments of ``make``; their values are plain data.
      name: of a network of an experiment file; those of the zoo go by their key.
    """

    make: Callable[..., nn.Module]
    kind: str
    side: int
    mean: float
    std: float
    anchors: int = 0
    side_step: int = 64
    heads: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    name: str = ""

    def normalise(self, pixels: Array) -> jax.Array:
        """Grey levels as the network takes them.

        Args:
          pixels: (...) uint8 or float32 in [0, 255].

        Returns:
          (...) float32, (pixels - mean) / std.
        """
        return (jnp.asarray(pixels) - self.mean) / self.std


def _released(name: str) -> ModelSpec:
    make = partial(released_pose.PoseNet, sizes=released_pose.SIZES[name])
    return ModelSpec(make, "pose", 256, 0.0, 255.0)


def _paper(name: str) -> ModelSpec:
    make = partial(paper_pose.PaperPose, sizes=paper_pose.SIZES[name])
    return ModelSpec(make, "pose", 256, 0.0, 255.0, arguments=("stop_gradient", "skips"))


# Sides, means and deviations: docs/mediapipe.md, 2.1 and 2.6.
MODELS = {
    "detector": ModelSpec(Detector, "detector", 224, 127.5, 127.5, anchors=2254),
    "lite": _released("lite"),
    "full": _released("full"),
    "heavy": _released("heavy"),
    "paper_full": _paper("paper_full"),
    "paper_lite": _paper("paper_lite"),
    "paper_detector": ModelSpec(PaperDetector, "detector", 128, 127.5, 127.5, anchors=896),
}
# Networks of `make demo` and of tests, which are no part of the zoo.
_TINY = ((1, 8, 0), (2, 16, 0), (4, 24, 1), (8, 32, 1), (16, 48, 1))
TEST_MODELS = {
    "demo": _paper("demo"),
    "smoke": _paper("smoke"),
    "smoke_detector": ModelSpec(
        partial(PaperDetector, stages=_TINY), "detector", 128, 127.5, 127.5, anchors=896
    ),
}


def spec_of(name: str | ModelSpec) -> ModelSpec:
    """The entry of a network in ``MODELS``, or in ``TEST_MODELS``; a spec is its own.

    Raises:
      BlazePoseError: unknown name; the message suggests the nearest.
    """
    if isinstance(name, ModelSpec):
        return name
    if name in TEST_MODELS:
        return TEST_MODELS[name]
    return MODELS[check_name(name, MODELS, "network")]


def create_model(
    name: str | ModelSpec, config: LayerConfig = LayerConfig(), **arguments: Any
) -> nn.Module:
    """Build a network.

    Args:
      name: a key of ``MODELS``, or the spec of another network.
      config: batch normalisation or folded, compute type.
      **arguments: of pose nets: ``keypoints``, ``fields``, ``heads``, ``side``; and what the spec
        names.

    Returns:
      A Flax module: ``module.apply(variables, images, train=False)``.

    Raises:
      BlazePoseError: unknown name, the message suggests the nearest; or an argument that no network
        takes.
    """
    spec = spec_of(name)
    check_arguments(name, arguments)
    # Lists, as JSON and people write them, are no part of a module that is compiled by.
    return spec.make(config, **{key: hashable(value) for key, value in arguments.items()})


def hashable(value: Any) -> Any:
    """A value with tuples in the place of lists."""
    return tuple(map(hashable, value)) if isinstance(value, list) else value


def check_arguments(name: str | ModelSpec, arguments: dict[str, Any]) -> None:
    """Check what a network is to be built with; it may come from a file.

    Args:
      name: of the network, or its spec.
      arguments: of ``create_model``.

    Raises:
      BlazePoseError: an unknown argument, or a value that no network of this kind can have.
    """
    spec = spec_of(name)
    name = name if isinstance(name, str) else name.name
    known = (*(POSE_ARGUMENTS if spec.kind == "pose" else ()), *spec.arguments)
    for argument, value in arguments.items():
        if argument not in known:
            raise BlazePoseError(
                f"network {name!r} has no argument {argument!r}: known are "
                f"{', '.join(known) or 'none'}"
            )
        if argument in spec.arguments:
            valid, rule = _is_plain(value), "plain data: text, a number, True, False, or a tuple"
        else:
            valid, rule = _judge_argument(spec, argument, value)
        if not valid:
            raise BlazePoseError(
                f"network {name!r} cannot have {argument} {value!r}: it must be {rule}"
            )


def _is_plain(value: object) -> bool:
    """Whether JSON gives a value back, lists as tuples."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float)


def _judge_argument(spec: ModelSpec, argument: str, value: Any) -> tuple[bool, str]:
    """Whether a pose net's argument may have this value, and what it must be."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if argument == "keypoints":
        return whole and 1 <= value <= MAX_ROWS, f"a whole number from 1 to {MAX_ROWS}"
    if argument == "side":
        if spec.side_step != 64:
            valid = whole and 0 < value <= MAX_SIDE and value % spec.side_step == 0
            return valid, f"a multiple of {spec.side_step} up to {MAX_SIDE}"
        valid = whole and 96 <= value <= MAX_SIDE and (value % 64 == 0 or value == 96)
        return valid, f"96 or a multiple of 64 up to {MAX_SIDE}, as the maps are halved six times"
    words = FIELDS if argument == "fields" else ALL_HEADS + PAPER_HEADS + spec.heads
    valid = (
        isinstance(value, list | tuple)
        and all(word in words for word in value)
        and len(set(value)) == len(value)
        and (argument == "heads" or {"x", "y"} <= set(value))
    )
    rule = f"different ones of {', '.join(dict.fromkeys(words))}"
    return valid, rule + (", x and y among them" if argument == "fields" else "")


@dataclasses.dataclass(frozen=True)
class Inference:
    """A module's inference function.

    Those of equal modules are equal, so that loading twice compiles once.
    """

    module: nn.Module

    def __call__(self, variables: Variables, images: Array) -> DetectorOutputs | PoseOutputs:
        """Apply the module with running statistics and without training-only heads.

        Args:
          variables: of the module.
          images: (B, side, side, 3) float32, normalised.
        """
        return _infer(self.module, variables, images)


# The pipeline calls its pose net in six places: jitted it is traced once for all of them.
@partial(jax.jit, static_argnames="module")
def _infer(module: nn.Module, variables: Variables, images: Array) -> DetectorOutputs | PoseOutputs:
    outputs: Any = module.apply(variables, images, train=False)
    return outputs


def create_network(
    name: str | ModelSpec,
    variables: Variables,
    config: LayerConfig,
    skeleton: Skeleton | None = None,
    **arguments: Any,
) -> Network:
    """Bind variables to a named network, as the pipeline takes it.

    Args:
      name: a key of ``MODELS``, or the spec of another network.
      variables: for this network with this config.
      config: which normalisation the variables have.
      skeleton: what the keypoints of a pose net mean; None for a detector.
      **arguments: as for ``create_model``.

    Returns:
      A Network.

    Raises:
      BlazePoseError: unknown name, or an argument that no network takes.
    """
    module = create_model(name, config, **arguments)
    spec = spec_of(name)
    return Network(
        variables=variables,
        apply=Inference(module),
        side=arguments.get("side", getattr(module, "side", spec.side)),
        mean=spec.mean,
        std=spec.std,
        skeleton=skeleton,
        fields=arguments.get("fields", getattr(module, "fields", ())),
    )
