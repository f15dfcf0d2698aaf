"""ROIs of annotated people by a network that looks at the picture."""

import dataclasses
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import blob_image, blob_networks
from PIL import Image

from blazepose_jax.cli import data_teacher
from blazepose_jax.data.annotations import Annotations, Person
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.evaluation.predict import predict
from blazepose_jax.inference.jax_engine import JaxEngine
from blazepose_jax.inference.labelled_roi import (
    CANDIDATES,
    check_teacher,
    labelled_roi,
    roi_by_teacher,
)
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.frames import to_frame
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton

STICK = Skeleton("stick", ("grip", "tip"), (("grip", "tip"),), (), (), roi="net")
TRUNK = ("L_Hip", "R_Hip", "L_Shoulder", "R_Shoulder")
BODY = Skeleton("body", TRUNK, (), TRUNK[:2], TRUNK[2:])
SIZE = 300, 200


def engine_of(detector=True):
    """Blob networks; the pose net sees shoulders 0.64 of its crop above the disc."""
    find, pose = blob_networks()

    def with_shoulders(variables, images):
        outputs = pose.apply(variables, images)
        rows = jnp.array(BLAZEPOSE.indices(("left_shoulder", "right_shoulder")))
        landmarks = jnp.asarray(outputs.landmarks).at[:, rows, 1].add(-0.64 * 64)
        return outputs.replace(landmarks=landmarks)

    settings = Settings(max_people=CANDIDATES)
    return JaxEngine(
        find if detector else None, pose.replace(apply=with_shoulders), settings, "blobs"
    )


@pytest.fixture(scope="module")
def engine():
    return engine_of()


def person_at(*points, flags=None, box=None, image=Path("x.png")):
    points = np.array(points, np.float32)
    flags = np.full(len(points), 2) if flags is None else np.array(flags)
    box = None if box is None else np.array(box, np.float32)
    return Person(1, image, points, flags, 1.0, "", box_xyxy=box)


def test_the_detection_is_chosen_by_the_labels(engine):
    frame = to_frame(blob_image(*SIZE, (70, 100), (220, 110)))
    for x, y in ((70, 100), (220, 110)):
        roi = labelled_roi(engine, frame, person_at((x - 8, y), (x + 9, y + 5)), "face")
        np.testing.assert_allclose(roi.center, (x, y), atol=6)  # the nearest anchor
        np.testing.assert_allclose(roi.side, 2 * 1.25 * 0.25 * 300, rtol=1e-5)
    # Nobody was detected where the labels are.
    assert labelled_roi(engine, frame, person_at((150, 5), (145, 2)), "face") is None


def test_a_net_goes_on_from_the_labels():
    engine = engine_of(detector=False)
    frame = to_frame(blob_image(*SIZE, (150, 100)))
    # The box of the labels is 40 px; half again as large, the square is 61 px, and keeps its size.
    roi = labelled_roi(engine, frame, person_at((125, 90), (165, 110)), "net")
    np.testing.assert_allclose(roi.center, (150, 100), atol=1.5)
    np.testing.assert_allclose(roi.side, 61, rtol=1e-3)
    assert abs(roi.angle) < 0.01
    # A point alone has no size: its box has, or the photograph.
    boxed = labelled_roi(engine, frame, person_at((150, 100), box=(130, 80, 180, 120)), "net")
    np.testing.assert_allclose(boxed.side, 76, rtol=1e-3)
    alone = labelled_roi(engine, frame, person_at((150, 100)), "net")
    np.testing.assert_allclose(alone.side, 1.5 * 300 + 1, rtol=1e-3)
    # Where the labels are a part of somebody, wider squares show the rest.
    wide = labelled_roi(engine, frame, person_at((110, 60), (125, 75)), "net")
    np.testing.assert_allclose(wide.side, 6 * 15 + 1, rtol=1e-3)
    np.testing.assert_allclose(wide.center, (150, 100), atol=1.5)


def test_a_net_with_a_detector_begins_at_the_face(engine):
    frame = to_frame(blob_image(*SIZE, (150, 100)))
    roi = labelled_roi(engine, frame, person_at((125, 90), (165, 110)), "net")
    np.testing.assert_allclose(roi.side, 2 * 1.25 * 0.25 * 300, rtol=1e-3)


def test_a_teacher_must_see_somebody_where_the_labels_are(engine):
    frame = to_frame(blob_image(*SIZE, (150, 100)))
    roi = roi_by_teacher(engine, frame, person_at((125, 90), (165, 110)), STICK.keypoints, STICK)
    np.testing.assert_allclose(roi.center, (150, 100), atol=1.5)
    away = person_at((20, 20), (40, 30))
    assert roi_by_teacher(engine, frame, away, STICK.keypoints, STICK) is None


def test_a_teachers_points_stand_for_missing_labels_whatever_they_are_called():
    engine = engine_of(detector=False)
    frame = to_frame(blob_image(*SIZE, (150, 100), radius=3))
    # The labels' box has 16 px, the square 25; there it sees the shoulders 16 px above the hips.
    person = person_at((150, 100), (0, 0), (150, 84), (0, 0), flags=[2, 0, 2, 0])
    roi = roi_by_teacher(engine, frame, person, TRUNK, BODY)
    np.testing.assert_allclose(roi.center, (150, 100), atol=0.5)
    np.testing.assert_allclose(roi.side, 2 * 1.25 * 16, rtol=0.05)
    assert abs(roi.angle) < 0.05
    # Upside down the labels lie a torso away from what it sees.
    wrong = person_at((150, 84), (0, 0), (150, 100), (0, 0), flags=[2, 0, 2, 0])
    assert roi_by_teacher(engine, frame, wrong, TRUNK, BODY) is None


def test_a_teacher_that_can_give_no_roi_is_refused():
    with pytest.raises(BlazePoseError, match=r"the teacher 'blobs' no detector: name weights"):
        check_teacher(engine_of(False), dataclasses.replace(STICK, roi="face"), STICK.keypoints)
    placed = Skeleton("stick", ("grip", "tip"), (), ("grip",), ("tip",))
    with pytest.raises(BlazePoseError, match=r"neither the data nor the teacher .* 'tip'"):
        check_teacher(engine_of(), placed, ("grip",))
    check_teacher(engine_of(), placed, ("grip", "tip"))
    check_teacher(engine_of(), BODY, ("L_Hip",))


def data_of(folder, people, names):
    """Annotations of a disc on black, the same photograph for all."""
    image = folder / "disc.png"
    Image.fromarray(blob_image(*SIZE, (150, 100))).save(image)
    people = [dataclasses.replace(p, id=i, image=image) for i, p in enumerate(people)]
    return Annotations(names, tuple(people), {})


def test_only_those_are_looked_at_whose_labels_give_none(tmp_path, monkeypatch, capsys):
    engine, looks = engine_of(), []
    step = engine.step
    monkeypatch.setattr(engine, "step", lambda *a, **k: looks.append(1) or step(*a, **k))
    monkeypatch.setattr(data_teacher, "load_engine", lambda *a: engine)
    whole = person_at((160, 100), (140, 100), (160, 60), (140, 60))
    data = data_of(tmp_path, [whole, whole], TRUNK)
    assert data_teacher.teacher_rois("w", data, BODY) == {}
    assert looks == []
    assert "everybody's labels give a ROI" in capsys.readouterr().out
    stick = data_of(tmp_path, [person_at((125, 90), (165, 110))], STICK.keypoints)
    assert set(data_teacher.teacher_rois("w", stick, STICK)) == {0}
    assert len(looks) == 2


@pytest.mark.parametrize("rule", ["net", "face"])
def test_evaluation_of_such_a_set_begins_where_the_measured_weights_look(rule, tmp_path):
    engine = engine_of()
    engine.skeleton = dataclasses.replace(engine.skeleton, roi=rule)
    people = [person_at((145, 95), (155, 105)), person_at((10, 10), (12, 14))]
    data = data_of(tmp_path, people, ("left_wrist", "right_wrist"))
    near, away = predict(engine, data, "truth", data.people)
    np.testing.assert_allclose(near.keypoints, np.full((2, 2), (150, 100)), atol=2)
    assert near.score > 0.5
    # Nobody is left out: a net that looks elsewhere has missed.
    assert away.score < 0.5
    assert (away.roi is None) == (rule == "face")
