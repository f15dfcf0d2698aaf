"""Landmark nets of hands and faces, such as Google's, run by LiteRT on squares of an image.

They are outside of the zoo: files are run as they are.
"""

from functools import partial
from pathlib import Path

import jax
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export import flatbuffer
from blazepose_jax.geometry import rois, warp
from blazepose_jax.inference.litert import open_interpreter
from blazepose_jax.inference.regions import (
    FACE_POINTS,
    HAND_NAMES,
    SIDES,
    face_roi,
    hand_rois,
    rows_of,
)
from blazepose_jax.io.frames import as_frame, to_frame
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI, Array, Frame, Part, Parts, Poses
from blazepose_jax.weights.tflite import load_schema
from blazepose_jax.weights.tflite_check import check_tflite

PRESENT = 0.5
# A hand has 21 points, a face 468.
LEAST_POINTS = 5
POSE_NUMBERS = 195  # of MediaPipe's pose nets, which are no model of a part


class PartModel:
    """A .tflite of one (1, S, S, 3) image in [0, 1], with points in px of it and a presence."""

    def __init__(self, path: str | Path, threads: int | None = None):
        """Load a file.

        Args:
          path: of it.
          threads: of the CPU; None for as many as there are cores.

        Raises:
          BlazePoseError: unreadable, refused by LiteRT, or of another form.
        """
        self.name = str(path)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise BlazePoseError(
                f"{path} cannot be read ({error.strerror or error}): give the .tflite of a hand or"
                " face model"
            ) from error
        check_tflite(data, self.name, load_schema())
        self._interpreter = open_interpreter(data, self.name, threads)
        image, *more = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        sizes = [int(np.prod(output["shape"])) for output in outputs]
        points = [i for i, n in enumerate(sizes) if n % 3 == 0 and n >= 3 * LEAST_POINTS]
        single = [i for i, n in enumerate(sizes) if n == 1]
        shape = tuple(int(n) for n in image["shape"])
        square = len(shape) == 4 and shape[0] == 1 and shape[1] == shape[2] and shape[3] == 3
        known = not more and image["dtype"] == np.float32 and POSE_NUMBERS not in sizes
        if not (known and square and points and single):
            raise BlazePoseError(
                f"{path} takes {shape} {image['dtype'].__name__} and gives tensors of {sizes}"
                " numbers: give a model of one square float32 RGB image that gives points of x, y,"
                " z and a presence, such as hand_landmark_full.tflite or face_landmark.tflite"
            )
        self.side, self._input = shape[1], int(image["index"])
        # Google's hands have the same points in metres as well, after those in px.
        self._points = int(outputs[points[0]]["index"])
        self._presence = int(outputs[single[0]]["index"])
        self._is_logit = not _ends_in_logistic(data, single[0])
        side = self.side

        def crop(frame: Frame, roi: ROI) -> jax.Array:
            pixels = warp.crop(frame, rois.to_affine(roi, side), side, border="replicate")
            return pixels / 255.0

        self._crop = jax.jit(crop)

    def __call__(self, image: Frame | Array, roi: ROI) -> Part:
        """Look into one square.

        Args:
          image: a frame, or (H, W, 3) uint8 RGB.
          roi: ().

        Returns:
          What is there.
        """
        crop = np.asarray(self._crop(as_frame(image), roi), np.float32)
        self._interpreter.set_tensor(self._input, crop[None])
        self._interpreter.invoke()
        points = self._interpreter.get_tensor(self._points).reshape(-1, 3)
        presence = float(self._interpreter.get_tensor(self._presence).reshape(()))
        if self._is_logit:
            presence = float(1 / (1 + np.exp(-presence)))
        affine = np.asarray(rois.to_affine(roi, self.side))
        flat = points[:, :2] @ affine[:, :2].T + affine[:, 2]
        depth = points[:, 2:] * float(roi.side) / self.side
        return Part(roi, presence, np.concatenate([flat, depth], -1).astype(np.float32))


def _ends_in_logistic(data: bytes, output: int) -> bool:
    """Whether an output is a probability, and not a logit."""
    model = flatbuffer.read(data)
    main = model.subgraphs[0]
    tensor = int(main.outputs[output])
    names = flatbuffer.operator_names(model)
    makers = [
        name
        for name, operator in zip(names, main.operators, strict=True)
        if tensor in [int(i) for i in operator.outputs]
    ]
    return makers == ["LOGISTIC"]


class PartFinder:
    """The hands and faces of tracked people: their squares, and what models see there."""

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        hands: bool = False,
        face: bool = False,
        hand_model: PartModel | None = None,
        face_model: PartModel | None = None,
    ):
        """Check the skeleton.

        Args:
          skeleton: of the poses.
          hands: give the hands' squares.
          face: give the face's.
          hand_model: looks at the hands.
          face_model: looks at the face.

        Raises:
          BlazePoseError: a skeleton without the points of hands or faces.
        """
        self._hand, self._face = hand_model, face_model
        self._hands = (
            jax.jit(partial(hand_rois, skeleton=skeleton)) if hands or hand_model else None
        )
        self._faces = jax.jit(partial(face_roi, skeleton=skeleton)) if face or face_model else None
        for points, asked in ((HAND_NAMES, self._hands), (FACE_POINTS, self._faces)):
            if asked is not None:
                rows_of(skeleton, points)

    def __call__(self, image: np.ndarray, poses: Poses) -> Parts:
        """Look at one image.

        Args:
          image: (H, W, 3) uint8 RGB.
          poses: of it.

        Returns:
          {slot: {``left_hand``, ``right_hand``, ``face``: Part}} of those that can be seen.
        """
        found: dict[int, dict[str, Part]] = {}
        poses = poses.replace(world=None, mask=None)
        frame = to_frame(image) if self._hand or self._face else None
        if self._hands is not None:
            squares, valid = jax.device_get(self._hands(poses))
            for slot, side in zip(*np.nonzero(valid), strict=True):
                roi = jax.tree.map(lambda a, at=(slot, side): a[at], squares)
                name = f"{SIDES[side]}_hand"
                found.setdefault(int(slot), {})[name] = _look(self._hand, frame, roi)
        if self._faces is not None:
            squares, valid = jax.device_get(self._faces(poses))
            for slot in np.flatnonzero(valid):
                roi = jax.tree.map(lambda a, at=slot: a[at], squares)
                found.setdefault(int(slot), {})["face"] = _look(self._face, frame, roi)
        return found


def _look(model: PartModel | None, frame: Frame | None, roi: ROI) -> Part:
    return Part(roi) if model is None or frame is None else model(frame, roi)
