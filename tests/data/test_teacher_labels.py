"""Labels by a teacher: in COCO files, in records, and as targets."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import NAMES, person, record, standing, write_folder
from PIL import Image

from blazepose_jax import training
from blazepose_jax.batches import TRUST, TeacherBatch
from blazepose_jax.cli.label_sources import in_order
from blazepose_jax.cli.main import main
from blazepose_jax.data import run_lengths
from blazepose_jax.data.annotations import TeacherLabels
from blazepose_jax.data.coco import BY_NET, read_annotations
from blazepose_jax.data.coco_writer import annotation_row, box_row, category_row
from blazepose_jax.data.encode_people import POOR, UNCONFIRMED
from blazepose_jax.data.mixed import Mixed
from blazepose_jax.data.rendered import Rendered
from blazepose_jax.data.resident import read_records
from blazepose_jax.data.run_lengths import RunLengths
from blazepose_jax.geometry import rois
from blazepose_jax.models import FIELDS
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI, PoseOutputs

COUNT = len(BLAZEPOSE.keypoints)
OF_COCO = np.array(BLAZEPOSE.indices(NAMES))


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (5, 1)])
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_run_lengths_are_cocos(shape, share):
    mask = np.random.default_rng(0).uniform(size=shape) < share
    runs = run_lengths.encode(mask)
    assert runs.size == shape[::-1]
    np.testing.assert_array_equal(run_lengths.decode(runs), mask)
    # Column by column, beginning with the zeros.
    cells, place, value = mask.T.reshape(-1), 0, False
    for count in runs.counts:
        assert (cells[place : place + count] == value).all()
        place, value = place + count, not value
    with pytest.raises(ValueError, match="runs of"):
        run_lengths.decode(RunLengths(runs.size, (*runs.counts, 1)))


def labels_of(points, quality=0.9, seed=0):
    """A teacher's labels, of which every number differs from the others."""
    rng = np.random.default_rng(seed)

    def draw(*shape, low=0.05, high=0.95):
        return rng.uniform(low, high, shape).astype(np.float32)

    mask = np.zeros((200, 220), bool)
    mask[60:150, 80:120] = True
    return TeacherLabels(
        points + draw(COUNT, 2),
        draw(COUNT),
        draw(COUNT),
        draw(COUNT, low=-20, high=20),
        draw(COUNT, 3, low=-1, high=1),
        ROI(draw(2, low=90, high=110), np.float32(170), np.float32(0.2)),
        quality,
        run_lengths.encode(mask),
    )


def everywhere():
    """(33, 2) points all over a body of 120 px."""
    points = np.random.default_rng(1).uniform((85, 40), (115, 160), (COUNT, 2))
    points[OF_COCO] = standing()[:, :2]
    return points.astype(np.float32)


def labelled_folder(folder):
    """Three people: by hand and by a teacher, by hand alone, by a teacher alone; and a poor one.

    Returns:
      The folder, and the labels of the first and the third.
    """
    source = read_annotations(write_folder(folder, [person(1), person(2)]))
    first, second = in_order(source, BLAZEPOSE.keypoints).people
    taught = [labels_of(everywhere()), labels_of(everywhere() + 10, seed=1)]
    poor = labels_of(everywhere() - 10, quality=0.3, seed=2)
    # As the command leaves them: points by hand are in the merged ones.
    by_hand = first.visibility_flags > 0
    points = np.where(by_hand[:, None], first.keypoints, taught[0].keypoints)
    trust = np.resize([weight for _, weight in TRUST], COUNT)
    confidence = np.where(by_hand, trust, taught[0].confidence)
    taught[0] = dataclasses.replace(taught[0], keypoints=points, confidence=confidence)
    rows = [
        annotation_row(1, 0, first, taught[0]),
        annotation_row(2, 0, second, None),
        annotation_row(3, 0, None, taught[1]),
        annotation_row(4, 0, None, poor),
    ]
    path = folder / "annotations.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    file |= {"annotations": rows, "categories": [category_row(BLAZEPOSE.keypoints)]}
    path.write_text(json.dumps(file), encoding="utf-8")
    return folder, taught


def test_a_corrected_point_counts_in_full(tmp_path):
    """Its confidence is what the net thought of its own wrong point."""
    folder, taught = labelled_folder(tmp_path / "a")
    path = folder / "annotations.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    row, last = file["annotations"][0], COUNT - 1
    assert not row["teacher"]["by_hand"][last]
    row["keypoints"][3 * last :] = [99, 98, 2]
    row["teacher"]["by_hand"][last] = 1
    row["teacher"]["confidences"][last] = 0.04
    path.write_text(json.dumps(file), encoding="utf-8")
    found = read_annotations(folder).people[0]
    assert found.teacher.confidence[last] == 1
    np.testing.assert_array_equal(found.keypoints[last], [99, 98])
    np.testing.assert_allclose(
        found.teacher.confidence[:last], taught[0].confidence[:last], atol=1e-3
    )


def test_what_is_written_is_read(tmp_path):
    folder, taught = labelled_folder(tmp_path / "a")
    data = read_annotations(folder)
    assert data.names == BLAZEPOSE.keypoints
    assert [one.id for one in data.people] == [1, 2, 3, 4]
    first, second, third, _ = data.people
    assert second.teacher is None
    for one in (first, second):
        np.testing.assert_array_equal(np.flatnonzero(one.visibility_flags), np.sort(OF_COCO))
    assert not third.visibility_flags.any()
    for one, labels in ((first, taught[0]), (third, taught[1])):
        assert one.teacher is not None
        for field in dataclasses.fields(TeacherLabels):
            if field.name == "mask":
                assert one.teacher.mask == labels.mask
            else:
                jax.tree.map(
                    lambda a, b: np.testing.assert_allclose(a, b, atol=6e-3),
                    getattr(one.teacher, field.name),
                    getattr(labels, field.name),
                )
    # A net's own labels measure nothing.
    measured = read_annotations(folder, evaluation=True)
    assert [one.id for one in measured.people] == [1, 2]
    assert measured.dropped[BY_NET] == ["3", "4"]


def test_labels_follow_a_picture_of_another_size(tmp_path):
    folder, taught = labelled_folder(tmp_path / "a")
    Image.new("RGB", (440, 400)).save(folder / "a.jpg")
    one = read_annotations(folder).people[2].teacher
    np.testing.assert_allclose(one.keypoints, 2 * taught[1].keypoints, atol=2e-2)
    np.testing.assert_allclose(one.depth, 2 * taught[1].depth, atol=2e-2)
    np.testing.assert_allclose(one.roi.side, 340)
    np.testing.assert_allclose(one.world, taught[1].world, atol=1e-4)
    assert one.mask is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("confidences", [0.5]),
        ("confidences", [2] * COUNT),
        ("world", [float("nan")] * 3 * COUNT),
        ("roi", [1, 2, 0, 0]),
        ("quality", None),
        ("by_hand", "all"),
    ],
)
def test_labels_that_are_none_are_counted(tmp_path, key, value):
    folder, _ = labelled_folder(tmp_path / "a")
    path = folder / "annotations.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    file["annotations"][0]["teacher"][key] = value
    path.write_text(json.dumps(file), encoding="utf-8")
    data = read_annotations(folder)
    assert [one.id for one in data.people] == [2, 3, 4]
    assert any("teacher's labels that are none" in reason for reason in data.dropped)


def prepare(folder, output, *words):
    arguments = ["data", "prepare", "coco_keypoints", "--source", folder, "--output", output]
    assert main([str(word) for word in (*arguments, *words)]) == 0


def test_own_points_beside_a_teachers_have_no_depth(tmp_path):
    folder, _ = labelled_folder(tmp_path / "a")
    path = folder / "annotations.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    file["categories"][0]["keypoints"].append("tip")
    for row in file["annotations"]:
        row["keypoints"] += [100, 60, 2]
        for key, values in (
            ("by_hand", [1]),
            ("confidences", [0]),
            ("visibilities", [0]),
            ("z", [0]),
            ("world", [0] * 3),
        ):
            if "teacher" in row:
                row["teacher"][key] += values
    path.write_text(json.dumps(file), encoding="utf-8")
    own = dataclasses.replace(BLAZEPOSE, name="own", keypoints=(*BLAZEPOSE.keypoints, "tip"))
    (tmp_path / "own.json").write_text(json.dumps(own.to_dict()), encoding="utf-8")
    prepare(folder, tmp_path / "r", "--size", 160, "--skeleton", tmp_path / "own.json")
    batch = read_records(tmp_path / "r").take(np.arange(2))
    assert not batch.has_3d_labels.any()
    assert batch.teacher.confidence[0, COUNT] == 1  # by hand, where the teacher has no such point


def test_records_keep_who_labelled_what(tmp_path):
    folder, taught = labelled_folder(tmp_path / "a")
    prepare(folder, tmp_path / "r", "--size", 160)
    described = json.loads((tmp_path / "r" / "records.json").read_text(encoding="utf-8"))
    assert described["dropped"] == {POOR: 1}
    data = read_records(tmp_path / "r")
    batch = data.take(np.arange(3))
    by_hand = np.isin(np.arange(COUNT), OF_COCO)
    np.testing.assert_array_equal(batch.visibility_flags > 0, [by_hand, by_hand, 0 * by_hand])
    np.testing.assert_allclose(batch.weight, [1, 1, 0.9], atol=1e-3)
    np.testing.assert_array_equal(batch.has_3d_labels, [True, False, True])
    teacher = batch.teacher
    np.testing.assert_allclose(teacher.confidence[1], UNCONFIRMED * by_hand)
    for i, labels in ((0, taught[0]), (2, taught[1])):
        np.testing.assert_allclose(teacher.confidence[i], labels.confidence, atol=1e-3)
        seen = np.where(by_hand, 1, labels.visibility) if i == 0 else labels.visibility
        np.testing.assert_allclose(teacher.visibility[i], seen, atol=1e-3)
        np.testing.assert_allclose(batch.world[i], labels.world, atol=1e-4)
    # Scale of the record: of points, depths, ROI and mask alike.
    scale = np.ptp(batch.keypoints[2, :, 0]) / np.ptp(taught[1].keypoints[:, 0])
    np.testing.assert_allclose(batch.depth[2], scale * taught[1].depth, atol=0.03)
    shift = batch.keypoints[2, 0] - scale * taught[1].keypoints[0]
    expected = scale * np.asarray(rois.to_alignment(taught[1].roi)) + shift
    np.testing.assert_allclose(teacher.roi_points[2], expected, atol=0.1)
    np.testing.assert_allclose(batch.roi.side[2], scale * 170, rtol=1e-3)
    rows, columns = np.nonzero(batch.mask[2])
    np.testing.assert_allclose(scale * np.array([80, 60]) + shift, (columns[0], rows[0]), atol=2)
    assert len(rows) == pytest.approx(scale**2 * 90 * 40, rel=0.05)
    # By a teacher's place of the ROI, where hips and shoulders are not labelled by hand.
    np.testing.assert_allclose(rois.to_alignment(jax.tree.map(lambda a: a[2], batch.roi))[0], 80)
    mixed = Mixed(data, Rendered(4, 160), 0.5).batch(0, 4, 0)
    assert mixed.teacher.confidence.shape == (4, COUNT)
    np.testing.assert_array_equal(mixed.teacher.confidence[2:] > 0, mixed.visibility_flags[2:] > 0)
    np.testing.assert_array_equal(mixed.has_3d_labels[2:], True)


def test_scenes_know_everybody(tmp_path):
    folder, _ = labelled_folder(tmp_path / "a")
    prepare(folder, tmp_path / "r", "--scenes", "--size", 220)
    batch = read_records(tmp_path / "r").take(np.arange(1))
    # Two people by hand, one by the teacher, and one who is neither wanted nor refused.
    np.testing.assert_array_equal(batch.status[0, :5], [1, 1, 3, 2, 0])
    assert np.isfinite(batch.points).all()


@pytest.mark.parametrize("names", [("right_hip",), ("left_hip", "right_hip")])
def test_somebody_without_a_hip_is_ignored_in_scenes(tmp_path, names):
    """Whoever deletes a point in a labelling tool leaves zeros, which are no place."""
    folder, taught = labelled_folder(tmp_path / "a")
    path = folder / "annotations.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    for row in (file["annotations"][2], file["annotations"][3]):
        for i in BLAZEPOSE.indices(names):
            row["keypoints"][3 * i : 3 * i + 3] = [0, 0, 0]
    file["annotations"][3]["keypoints"] = [0] * 3 * COUNT
    path.write_text(json.dumps(file), encoding="utf-8")
    prepare(folder, tmp_path / "r", "--scenes", "--size", 220)
    batch = read_records(tmp_path / "r").take(np.arange(1))
    np.testing.assert_array_equal(batch.status[0, :5], [1, 1, 2, 2, 0])
    # The circle is that of the teacher's ROI: 220 x 200 px, so that a scene has 10 px above.
    for i, roi in ((2, taught[1].roi), (3, labels_of(everywhere() - 10, seed=2).roi)):
        middle, edge = batch.points[0, i, :2]
        np.testing.assert_allclose(middle - roi.center, [0, 10], atol=0.1)
        np.testing.assert_allclose(
            np.linalg.norm(edge - middle), roi.side / (2 * rois.MARGIN), rtol=1e-3
        )


def test_labelled_people_stay_what_their_file_knew_of_them(tmp_path):
    """That a 1 is no more than labelled, and who is no person to measure by."""
    rows = [person(1), person(2)]
    for row in rows:
        row["keypoints"] = [min(v, 1) if i % 3 == 2 else v for i, v in enumerate(row["keypoints"])]
    source = read_annotations(
        write_folder(tmp_path / "a", [{**rows[0], "eval_ok": 0}, {**rows[1], "eval_ok": 1}])
    )
    people = in_order(source, BLAZEPOSE.keypoints).people
    assert not any(one.labels_occlusion for one in people)
    path = tmp_path / "a" / "annotations.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    box = np.array([5, 6, 25, 66], np.float32)
    written = [
        annotation_row(1, 0, people[0], labels_of(everywhere())),
        annotation_row(2, 0, people[1], None),
        box_row(3, 0, box),
    ]
    file |= {"annotations": written, "categories": [category_row(BLAZEPOSE.keypoints)]}
    path.write_text(json.dumps(file), encoding="utf-8")
    data = read_annotations(tmp_path / "a")
    assert [one.labels_occlusion for one in data.people] == [False, False]
    assert [one.eval_ok for one in data.people] == [False, True]
    ((_, found),) = data.others
    np.testing.assert_array_equal(found, box)
    assert [one.id for one in read_annotations(tmp_path / "a", evaluation=True).people] == [2]


def taught_record(confidence, **changes):
    one = record()
    teacher = TeacherBatch(
        jnp.asarray(confidence, jnp.float32),
        (one.visibility_flags == 2).astype(jnp.float32),
        rois.to_alignment(one.roi),
    )
    return one.replace(teacher=teacher.replace(**changes))


@partial(jax.jit, static_argnames="config")
def targets_of(one, config=training.NO_AUGMENTATION):
    return training.sample_targets(jax.random.key(0), one, BLAZEPOSE, 256, config)


def test_full_trust_in_labels_by_hand_changes_nothing():
    plain = targets_of(record())
    taught = targets_of(taught_record(record().visibility_flags > 0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), plain, taught)


def test_targets_of_a_teacher():
    by_hand = record().visibility_flags > 0
    confidence = np.linspace(0, 1, COUNT)
    moved = rois.to_alignment(record().roi) + 7
    taught = taught_record(confidence, visibility=jnp.asarray(confidence), roi_points=moved)
    found = targets_of(taught)
    np.testing.assert_allclose(found.label_weight, [*confidence, 1, 1, *[0] * 4], atol=1e-6)
    np.testing.assert_array_equal(found.labelled[:COUNT], by_hand)
    np.testing.assert_allclose(found.visible[:COUNT], confidence * found.inside[:COUNT], atol=1e-6)
    shift = np.asarray(found.keypoints_crop - targets_of(record()).keypoints_crop)
    np.testing.assert_allclose(shift[COUNT : COUNT + 2], 7 / 230, atol=1e-5)
    # Left and right change places together.
    config = dataclasses.replace(training.NO_AUGMENTATION, flip=1.0)
    mirrored = targets_of(taught, config=config)
    flip = np.array(BLAZEPOSE.flip)
    np.testing.assert_allclose(mirrored.label_weight, found.label_weight[flip], atol=1e-6)
    np.testing.assert_allclose(mirrored.visible, found.visible[flip], atol=1e-6)


def test_who_has_no_label_by_hand_is_measured_by_the_teachers():
    confidence = np.where(np.arange(COUNT) < 4, 0.5, 0.0)
    by_hand = np.arange(COUNT) == 9
    people = [
        taught_record(confidence).replace(visibility_flags=2 * flags.astype(np.int32))
        for flags in (by_hand, np.zeros(COUNT, bool))
    ]
    batch = jax.tree.map(lambda *a: jnp.stack(a), *people)
    truth = jnp.stack([targets_of(one).keypoints_crop for one in people])
    wrong = truth.at[1, 0].add(0.5)

    @jax.jit
    def count(points):
        landmarks = jnp.pad(256 * points, ((0, 0), (0, 0), (0, 3)))
        outputs = PoseOutputs(landmarks, jnp.zeros((2, 1)))
        return training.pose_hits(
            lambda variables, images: outputs,
            {},
            batch,
            skeleton=BLAZEPOSE,
            fields=FIELDS,
            side=256,
        )

    hits, points = count(truth)
    # One point by hand of the first, four half sure ones of the second.
    assert float(points) == pytest.approx(1 + 4 * 0.5)
    assert float(hits["pck@0.2"]) == pytest.approx(3.0)
    assert float(count(wrong)[0]["pck@0.2"]) == pytest.approx(2.5)


def test_what_nobody_trusts_costs_nothing():
    def loss_of(x, confidence):
        one = jax.tree.map(lambda a: jnp.asarray(a)[None], targets_of(taught_record(confidence)))
        labels = one.label_weight
        return training.pose_loss.regression_loss(
            256 * x, 256 * one.keypoints_crop[..., 1], 256, one, labels, training.LossConfig()
        )

    truth = targets_of(record()).keypoints_crop[None, :, 0]
    half = np.where(np.arange(COUNT) == 3, 0.5, 1.0)
    none = np.where(np.arange(COUNT) == 3, 0.0, 1.0)
    wrong = truth.at[0, 3].add(0.1)
    assert float(loss_of(truth, half)) == pytest.approx(0, abs=1e-4)
    assert float(loss_of(wrong, none)) == pytest.approx(0, abs=1e-4)
    full = float(loss_of(wrong, np.ones(COUNT)))
    # A weighted mean: half the weight of one among 35.
    assert float(loss_of(wrong, half)) == pytest.approx(full * 0.5 * 35 / 34.5, rel=1e-3)


def test_a_torso_is_measured_between_labels():
    """Records keep points that nobody labelled at the picture's corner, far from the person."""
    one = record()
    hip = BLAZEPOSE.keypoints.index("right_hip")
    unlabelled = one.replace(
        keypoints=one.keypoints.at[hip].set(-2000.0),
        visibility_flags=one.visibility_flags.at[hip].set(0),
    )
    batch = jax.tree.map(lambda a: jnp.asarray(a)[None], unlabelled)

    def corner(_, images):
        return PoseOutputs(jnp.zeros((1, 39, 5)), jnp.zeros((1, 1)))

    hits, count = jax.jit(
        lambda b: training.pose_hits(
            corner,
            {},
            b,
            skeleton=BLAZEPOSE,
            fields=("x", "y", "z", "visibility", "presence"),
            side=256,
        )
    )(batch)
    assert count == 31
    assert hits["pck@0.2"] == 0
