"""Where a teacher looks for people who are labelled by hand."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from blazepose_jax.data.annotations import Person, TeacherLabels, true_roi
from blazepose_jax.inference import labelling
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import ROI

COUNT = len(BLAZEPOSE.keypoints)


@pytest.fixture
def person(tmp_path):
    """Somebody whose 33 points are labelled by hand."""
    points = np.random.default_rng(0).uniform(50, 150, (COUNT, 2)).astype(np.float32)
    flags = np.full(COUNT, 2, np.int32)
    return Person(1, tmp_path / "a.jpg", points, flags, 100.0, "")


def squares_of(monkeypatch, person, *, good):
    """Where the teacher looked, until ``good`` squares had been enough."""
    seen = []

    def look_at(engine, frame, square):
        seen.append(square)
        return SimpleNamespace(poses=SimpleNamespace(quality=[0.9]), next_roi=square)

    monkeypatch.setattr(labelling, "look_at", look_at)
    monkeypatch.setattr(labelling, "is_good", lambda look: len(seen) >= good)
    monkeypatch.setattr(labelling, "agrees", lambda look, person: True)
    labeller = SimpleNamespace(teacher=None, first=None, finder=None)
    assert labelling.best_look(labeller, None, person, BLAZEPOSE.keypoints, []) is not None
    return seen


def test_the_square_of_the_labels_comes_first_without_a_teacher(monkeypatch, person):
    (square,) = squares_of(monkeypatch, person, good=1)
    np.testing.assert_array_equal(
        square.center, true_roi(person, BLAZEPOSE.keypoints, BLAZEPOSE).center
    )


def test_where_a_teacher_looked_last_comes_before_the_labels(monkeypatch, person):
    nothing = np.zeros(COUNT, np.float32)
    roi = ROI(np.array([7.0, 9.0], np.float32), np.float32(80), np.float32(0.5))
    labels = TeacherLabels(
        person.keypoints, nothing, nothing, nothing, np.zeros((COUNT, 3)), roi, 0.8
    )
    taught = dataclasses.replace(person, teacher=labels)
    first, second = squares_of(monkeypatch, taught, good=2)
    assert first is roi
    np.testing.assert_array_equal(
        second.center, true_roi(person, BLAZEPOSE.keypoints, BLAZEPOSE).center
    )
