"""The demo's clip: a photograph under a moving camera, tracked."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.geometry import rois, warp
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.draw import draw_poses
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.media import Picture
from blazepose_jax.io.results import JsonWriter
from blazepose_jax.io.video_writer import VideoWriter
from blazepose_jax.structs import ROI

SECONDS, FPS = 5, 30
SIDE = 480  # px of a frame
TRACED = ("nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow")


@dataclasses.dataclass(frozen=True)
class TrackedClip:
    """What the tracker found.

    Attributes:
      traces: (frames, traced points, 2) px; NaN where nobody was found.
      found: frames with a person.
    """

    traces: np.ndarray
    found: int


def read_photograph() -> np.ndarray:
    """The astronaut Eileen Collins (NASA), scikit-image's in the public domain.

    Returns:
      (512, 512, 3) uint8 RGB.

    Raises:
      BlazePoseError: scikit-image is not installed.
    """
    try:
        from skimage.data import astronaut
    except ImportError as error:
        raise BlazePoseError(
            "the demo needs scikit-image's photograph: pip install 'blazepose_jax[demo]'"
        ) from error
    return astronaut()


def moving_camera(photograph: np.ndarray) -> Iterator[Picture]:
    """A clip of (H, W, 3) uint8 under a camera that pans, turns and zooms; black outside."""
    height, width, _ = photograph.shape
    frame = to_frame(photograph)
    look = jax.jit(
        lambda frame, view: warp.crop(frame, rois.to_affine(view, SIDE), SIDE, border="zero")
    )
    for i in range(SECONDS * FPS):
        phase = 2 * np.pi * i / (SECONDS * FPS)
        view = ROI(
            jnp.array(
                [width * (0.46 + 0.06 * np.sin(phase)), height * (0.45 + 0.05 * np.sin(2 * phase))]
            ),
            jnp.asarray(max(width, height) * (0.95 - 0.12 * np.cos(phase))),
            jnp.asarray(0.35 * np.sin(phase)),
        )
        image = look(frame, view)
        yield Picture(i, i / FPS, np.asarray(image).astype(np.uint8))


def track_clip(tracker: Tracker, photograph: np.ndarray, output: Path) -> TrackedClip:
    """Track the clip; write overlay.mp4 and poses.json.

    Args:
      tracker: with an empty memory.
      photograph: (H, W, 3) uint8 RGB.
      output: folder of the demo.
    """
    print(f"tracking {SECONDS * FPS} frames with {tracker.model}")
    video = VideoWriter(output / "overlay.mp4", FPS)
    points = JsonWriter(
        output / "poses.json", "astronaut.mp4", FPS, tracker.model, tracker.skeleton
    )
    traced = list(tracker.skeleton.indices(TRACED))
    traces = []
    try:
        for picture in moving_camera(photograph):
            poses = tracker(picture.image, picture.time)
            video.write(draw_poses(picture.image, poses, tracker.skeleton), picture.time)
            points.write(picture, poses)
            seen = np.asarray(poses.keypoints)[0, traced, :2]
            traces.append(seen if poses.present[0] else np.full_like(seen, np.nan))
    except BaseException:
        video.discard()
        points.discard()
        raise
    video.close()
    points.close()
    rows = np.stack(traces)
    return TrackedClip(rows, int(np.isfinite(rows[:, 0, 0]).sum()))
