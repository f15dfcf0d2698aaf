"""ROIs by a teacher, of people whose labels give none."""

from blazepose_jax.cli.progress import progress
from blazepose_jax.data.annotations import Annotations, true_roi
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.labelled_roi import CANDIDATES, check_teacher, roi_by_teacher
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import Skeleton
from blazepose_jax.structs import ROI


def teacher_rois(weights: str, data: Annotations, skeleton: Skeleton) -> dict[int, ROI]:
    """ROIs that a trained net sees; it labels nothing else.

    Args:
      weights: directory or .task; for sets whose ROI is by ``face`` with a detector.
      data: annotations, in the skeleton's names.
      skeleton: of the records.

    Returns:
      {id: ROI} of people whose labels give none (``true_roi``); those are left out whose picture is
      broken, or whom the teacher does not find where the labels are (``roi_by_teacher``).

    Raises:
      BlazePoseError: bad weights, or a teacher that can give no ROI for the set.
    """
    lacking = [
        person
        for person in data.people
        if person.teacher is None and true_roi(person, data.names, skeleton) is None
    ]
    engine = load_engine(
        weights, None, Settings(decode="peaks", smoothing=False, max_people=CANDIDATES)
    )
    check_teacher(engine, skeleton, data.names)
    if not lacking:
        print("teacher: everybody's labels give a ROI, so it is asked for none")
    found = {}
    for person in progress(lacking, len(lacking), "teacher", "people"):
        try:
            frame = to_frame(read_image(person.image))
        except BlazePoseError:
            continue
        roi = roi_by_teacher(engine, frame, person, data.names, skeleton)
        if roi is not None:
            found[person.id] = roi
    return found
