"""A frame and what the tracker remembers come in, people and what to remember leave.

Pure and jitted.

Constants are those of MediaPipe Tasks (mediapipe.md, section 3) unless a line says otherwise.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from blazepose_jax.codecs import anchors, landmarks
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.geometry import nms, rois, warp
from blazepose_jax.inference import smoothing
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import (
    ROI,
    Detections,
    DetectorOutputs,
    Frame,
    LowPass,
    Network,
    OneEuro,
    PoseOutputs,
    Poses,
    TrackState,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to look for, and how; fixed at compile time.

    Attributes:
      max_people: N, slots.
      min_detection_confidence: score from which a face counts.
      min_presence_confidence: probability of a person below which a slot is lost.
      nms_threshold: IoU above which two faces are one person.
      association_threshold: IoU above which a detection is a person who is tracked already.
      decode: ``refine``, ``regression`` or ``heatmap`` (``codecs.landmarks.DECODES``).
      flip: average with the mirrored crop; twice the work, for stills.
      smoothing: One-Euro filter on points, low pass on visibility.
      world: return world landmarks where the net has them.
      mask: return masks where the net has them; costs about a tenth of the pose net.
    """

    max_people: int = 1
    min_detection_confidence: float = 0.5
    min_presence_confidence: float = 0.5
    nms_threshold: float = 0.5
    association_threshold: float = 0.5
    decode: str = "refine"
    flip: bool = False
    smoothing: bool = True
    world: bool = True
    mask: bool = False


def check_settings(settings: Settings) -> None:
    """Check values that argparse and dataclasses do not.

    Raises:
      BlazePoseError: a probability outside of [0, 1], fewer than one person, an unknown decode.
    """
    check_name(settings.decode, landmarks.DECODES, "decode")
    if settings.max_people < 1:
        raise BlazePoseError(f"max_people is {settings.max_people}: it must be at least 1")
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, float) and not 0 <= value <= 1:
            raise BlazePoseError(f"{field.name} is {value}: it must lie between 0 and 1")


def initial_state(skeleton: Skeleton, max_people: int = 1) -> TrackState:
    """Remember nothing. Resetting a tracker is starting again from this.

    Args:
      skeleton: of the pose net.
      max_people: N.

    Returns:
      A TrackState with N free slots.
    """
    n, k = max_people, len(skeleton.keypoints)

    def filter_state():
        return OneEuro(jnp.zeros((n, k, 3)), jnp.zeros((n, k, 3)), jnp.zeros((n, k, 3)))

    return TrackState(
        active=jnp.zeros(n, bool),
        ids=jnp.full(n, -1, jnp.int32),
        next_id=jnp.int32(0),
        detector_runs=jnp.int32(0),
        roi=ROI(jnp.zeros((n, 2)), jnp.ones(n), jnp.zeros(n)),
        started=jnp.zeros(n, bool),
        keypoints=filter_state(),
        world=filter_state(),
        visibility=LowPass(jnp.zeros((n, k))),
    )


@partial(jax.jit, static_argnames="settings")
def track(
    detector: Network,
    pose: Network,
    state: TrackState,
    frame: Frame,
    elapsed: jax.Array | float,
    *,
    settings: Settings = Settings(),
) -> tuple[TrackState, Poses]:
    """Follow people from one frame to the next; the detector runs only while a slot is free.

    A video is a Python loop or a ``lax.scan`` over this function. For many streams write a batched
    door rather than ``vmap``, which would run the detector on every frame. Same input, same
    machine, same versions: same bits.

    Args:
      detector: a detector network.
      pose: a pose network with a skeleton.
      state: from ``initial_state`` or from the previous frame.
      frame: the image.
      elapsed: () seconds since the previous frame; 0, negative or NaN count as 1/30 s.
      settings: static.

    Returns:
      The state for the next frame, and Poses in image px.
    """
    free = lax.cond(
        state.active.all(),
        lambda: no_detections(settings.max_people),
        lambda: detect(detector, frame, settings=settings),
    )
    state = associate(
        state.replace(detector_runs=state.detector_runs + ~state.active.all()),
        free,
        settings=settings,
    )
    outputs = run_pose(pose, pose_input(pose, frame, state.roi), state.active, settings)
    return follow(pose, state, outputs, elapsed, settings=settings)


@partial(jax.jit, static_argnames="settings")
def detect(detector: Network, frame: Frame, *, settings: Settings = Settings()) -> Detections:
    """Find people by their faces.

    Args:
      detector: a detector network.
      frame: the image.
      settings: static.

    Returns:
      Detections in image px, N rows, best first.
    """
    outputs = detector(detector_input(detector, frame))
    return read_detections(detector, outputs, frame, settings=settings)


@partial(jax.jit, static_argnames="settings")
def estimate(pose: Network, frame: Frame, roi: ROI, *, settings: Settings = Settings()) -> Poses:
    """Estimate the pose of the person in each ROI, without memory.

    Args:
      pose: a pose network with a skeleton.
      frame: the image.
      roi: (N,) squares, image frame.
      settings: static; ``max_people`` does not matter here.

    Returns:
      Poses with N slots; ``ids`` are the positions of the ROIs.
    """
    count = roi.side.shape[0]
    active = jnp.ones(count, bool)
    outputs = run_pose(pose, pose_input(pose, frame, roi), active, settings)
    return read_poses(pose, outputs, roi, active, jnp.arange(count), settings)[0]


# The steps between the networks. ``track`` composes them; the LiteRT runtime jits them one by one.


def detector_input(detector: Network, frame: Frame) -> jax.Array:
    """The letterboxed image, (1, S, S, 3), normalised; outside of the image it is black."""
    affine = rois.to_affine(rois.whole_image(frame.size), detector.side)
    return (
        warp.crop(frame, affine, detector.side, border="zero")[None] - detector.mean
    ) / detector.std


def read_detections(
    detector: Network, outputs: DetectorOutputs, frame: Frame, *, settings: Settings
) -> Detections:
    """Raw detector tensors to Detections in image px."""
    found = anchors.decode(
        outputs,
        detector.side,
        count=settings.max_people,
        min_score=settings.min_detection_confidence,
        nms_threshold=settings.nms_threshold,
    )
    box = rois.whole_image(frame.size)
    # the letterbox is not rotated
    corners = rois.crop_to_image(found.boxes_xyxy.reshape(-1, 2, 2), box)
    return found.replace(
        boxes_xyxy=corners.reshape(-1, 4), keypoints=rois.crop_to_image(found.keypoints, box)
    )


def no_detections(count: int) -> Detections:
    """What the detector returns when it does not run."""
    return Detections(
        jnp.zeros((count, 4)), jnp.zeros((count, 4, 2)), jnp.zeros(count), jnp.zeros(count, bool)
    )


def associate(state: TrackState, found: Detections, *, settings: Settings) -> TrackState:
    """Give free slots to detected people who are not tracked yet.

    Tracks that have come to lie on an older track, and detections that lie on a track, are dropped.

    Args:
      state: N slots.
      found: M detections, best first; all invalid when the detector did not run.
      settings: static.

    Returns:
      The state with new people in its free slots, under new ids.
    """
    n = state.active.shape[0]
    new = rois.from_alignment(found.keypoints[:, 0], found.keypoints[:, 1])
    new_valid = found.valid & (new.side > 0)
    age = jnp.argsort(jnp.where(state.active, state.ids, jnp.iinfo(jnp.int32).max))
    squares = jnp.concatenate([rois.bounding_xyxy(state.roi)[age], rois.bounding_xyxy(new)])
    kept = nms.keep_first(
        squares, jnp.concatenate([state.active[age], new_valid]), settings.association_threshold
    )
    active = jnp.zeros_like(state.active).at[age].set(kept[:n])
    # The r-th kept detection goes to the r-th free slot.
    rank_of_detection = jnp.where(kept[n:], jnp.cumsum(kept[n:]) - 1, -1)
    rank_of_slot = jnp.where(active, -2, jnp.cumsum(~active) - 1)
    matches = rank_of_slot[:, None] == rank_of_detection[None]  # (N, M)
    taken, source = matches.any(1), jnp.argmax(matches, 1)
    pick = partial(
        jax.tree.map,
        lambda a, b: jnp.where(taken.reshape((-1,) + (1,) * (a.ndim - 1)), b[source], a),
    )
    return state.replace(
        active=active | taken,
        ids=jnp.where(taken, state.next_id + rank_of_slot, jnp.where(active, state.ids, -1)),
        next_id=state.next_id + taken.sum(dtype=jnp.int32),
        roi=pick(state.roi, new),
        started=state.started & active,
    )


def pose_input(pose: Network, frame: Frame, roi: ROI) -> jax.Array:
    """The crops, (N, S, S, 3), normalised; outside of the image its edge is repeated."""

    def one(square):
        return warp.crop(frame, rois.to_affine(square, pose.side), pose.side, border="replicate")

    return (jax.vmap(one)(roi) - pose.mean) / pose.std


def run_pose(pose: Network, crops: jax.Array, active: jax.Array, settings: Settings) -> PoseOutputs:
    """Run the pose net on the crops of active slots; the rest stay zero."""

    def run(images):
        outputs = pose(images)
        if settings.flip and pose.skeleton.mirrors:
            outputs = landmarks.average_mirrored(
                outputs, pose(landmarks.mirror(images)), pose.skeleton.flip, pose.fields, pose.side
            )
        return outputs

    if crops.shape[0] == 1:
        return run(crops)

    def one(slot):
        crop, wanted = slot
        shapes = jax.eval_shape(run, crop[None])
        nothing = partial(jax.tree.map, lambda s: jnp.zeros(s.shape, s.dtype))
        return jax.tree.map(
            lambda a: a[0], lax.cond(wanted, lambda: run(crop[None]), lambda: nothing(shapes))
        )

    # One by one: an empty slot costs nothing, where a batch would always pay for N.
    return lax.map(one, (crops, active))


def read_poses(
    pose: Network,
    outputs: PoseOutputs,
    roi: ROI,
    active: jax.Array,
    ids: jax.Array,
    settings: Settings,
) -> tuple[Poses, ROI]:
    """Raw pose tensors to Poses in image px, and the ROIs to look at in the next frame."""
    body = len(pose.skeleton.keypoints)
    decoded = jax.vmap(
        lambda o: landmarks.decode(o, pose.fields, pose.side, settings.decode, body)
    )(outputs)
    xy = rois.crop_to_image(decoded.points[..., :2], roi)  # (N, K', 2)
    points = jnp.concatenate([xy, decoded.points[..., 2:] * roi.side[:, None, None]], -1)
    presence = jax.nn.sigmoid(outputs.presence[:, 0])
    present = active & (presence >= settings.min_presence_confidence)
    world = mask = None
    if settings.world and outputs.world is not None:
        world = rois.rotate_world(outputs.world[:, :body], roi)
    if settings.mask and outputs.mask is not None:
        mask = jax.nn.sigmoid(outputs.mask[..., 0])
    poses = Poses(
        present,
        jnp.where(present, ids, -1),
        jnp.where(active, presence, 0),
        points[:, :body],
        decoded.visibility[:, :body],
        decoded.presence[:, :body],
        roi,
        world,
        mask,
    )
    return poses, rois.from_keypoints(xy, pose.skeleton)


def follow(
    pose: Network,
    state: TrackState,
    outputs: PoseOutputs,
    elapsed: jax.Array | float,
    *,
    settings: Settings,
) -> tuple[TrackState, Poses]:
    """Read the poses of this frame, smooth them, and aim at the next frame."""
    poses, next_roi = read_poses(pose, outputs, state.roi, state.active, state.ids, settings)
    alive = poses.present & jnp.isfinite(next_roi.side) & (next_roi.side > 0)
    state = state.replace(active=alive, roi=next_roi)
    if settings.smoothing:
        state, poses = _smooth(state, poses, jnp.asarray(elapsed, jnp.float32))
    return state.replace(started=alive), poses


def _smooth(state: TrackState, poses: Poses, elapsed: jax.Array) -> tuple[TrackState, Poses]:
    started, size = state.started, jnp.maximum(state.roi.side, 1e-6)
    keypoints_state, keypoints = smoothing.one_euro(
        state.keypoints, poses.keypoints, started, elapsed, 1 / size, min_cutoff=0.05, beta=80.0
    )
    visibility_state, visibility = smoothing.low_pass(
        state.visibility, poses.visibility, started, 0.1
    )
    state = state.replace(keypoints=keypoints_state, visibility=visibility_state)
    poses = poses.replace(keypoints=keypoints, visibility=visibility)
    if poses.world is not None:
        world_state, world = smoothing.one_euro(
            state.world,
            poses.world,
            started,
            elapsed,
            jnp.ones_like(size),
            min_cutoff=0.1,
            beta=40.0,
        )
        state, poses = state.replace(world=world_state), poses.replace(world=world)
    return state, poses
