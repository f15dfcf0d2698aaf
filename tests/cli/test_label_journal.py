"""The journal of ``data label``, without a net."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from blazepose_jax.cli.data_label import label_all
from blazepose_jax.cli.label_journal import Journal
from blazepose_jax.cli.label_sources import Photographs, content_hash
from blazepose_jax.data.annotations import Person
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.skeleton import BLAZEPOSE

MADE_BY = {"format": "blazepose_jax labels 1", "teacher": "full"}


def test_what_was_labelled_is_known_to_the_next_run(tmp_path):
    path = tmp_path / "out.journal"
    with Journal(path, MADE_BY) as journal:
        assert journal.done == set()
        journal.append("a.jpg", {"annotations": []})
    with path.open("a") as file:
        file.write('{"file_name": "b.j')  # the process was killed while it wrote
    with Journal(path, MADE_BY) as journal:
        assert journal.done == {"a.jpg"}
        journal.append("b.jpg", {"annotations": [1]})
        assert [row["file_name"] for row in journal.rows()] == ["a.jpg", "b.jpg"]
    with pytest.raises(BlazePoseError, match="had another teacher"):
        Journal(path, {**MADE_BY, "teacher": "heavy"})


def test_a_run_that_labelled_nothing_leaves_nothing(tmp_path):
    with Journal(tmp_path / "out.journal", MADE_BY):
        pass
    assert not list(tmp_path.iterdir())


def test_two_runs_do_not_share_it(tmp_path):
    path = tmp_path / "out.journal"
    with Journal(path, MADE_BY) as first:
        with pytest.raises(BlazePoseError, match="is being written by another run"):
            Journal(path, MADE_BY)
        first.append("a.jpg", {"annotations": []})
    with Journal(path, MADE_BY) as again:
        assert again.done == {"a.jpg"}


def test_a_file_of_somebody_elses_stays_as_it_is(tmp_path):
    path = tmp_path / "out.journal"
    path.write_text("Dear diary,\n")
    with pytest.raises(BlazePoseError, match="is no journal of data label"):
        Journal(path, MADE_BY)
    assert path.read_text() == "Dear diary,\n"
    # That a run was killed while it wrote its first line makes no such file.
    path.write_text('{"format": "blaz')
    with Journal(path, MADE_BY) as journal:
        assert journal.done == set()


def test_other_labels_are_other_work(tmp_path):
    person = Person(
        id=1,
        image=tmp_path / "a.jpg",
        keypoints=np.zeros((33, 2), np.float32),
        visibility_flags=np.full(33, 2, np.int32),
        area=1.0,
        data_set="",
    )
    given = Photographs({person.image: [person]}, BLAZEPOSE.keypoints, tmp_path, frozenset())
    moved = dataclasses.replace(person, keypoints=person.keypoints + 1)
    assert content_hash(given) == content_hash(dataclasses.replace(given))
    assert content_hash(given) != content_hash(
        dataclasses.replace(given, people={person.image: [moved]})
    )
    assert content_hash(given) != content_hash(dataclasses.replace(given, people={}))
    for change in ({"eval_ok": True}, {"group": "film"}, {"area": 2.0}, {"box_xyxy": np.ones(4)}):
        other = {person.image: [dataclasses.replace(person, **change)]}
        assert content_hash(given) != content_hash(dataclasses.replace(given, people=other))


def test_links_keep_their_names_and_what_is_broken_is_named(tmp_path, monkeypatch):
    (tmp_path / "store").mkdir()
    (tmp_path / "photographs").mkdir()
    (tmp_path / "store" / "4f1c.jpg").touch()
    link = tmp_path / "photographs" / "anna.jpg"
    link.symlink_to(tmp_path / "store" / "4f1c.jpg")
    others = [tmp_path / "photographs" / name for name in ("ben.jpg", "eve.jpg")]
    people: dict[Path, list[Person]] = {path: [] for path in (link, *others)}
    photographs = Photographs(people, BLAZEPOSE.keypoints, tmp_path / "photographs", frozenset())
    monkeypatch.setattr(
        "blazepose_jax.cli.data_label.label_one",
        lambda labeller, path, *_: None if path.name == "ben.jpg" else {"annotations": []},
    )
    with Journal(tmp_path / "out.journal", MADE_BY) as journal:
        assert label_all(None, photographs, journal) == ["ben.jpg"]
        assert [row["file_name"] for row in journal.rows()] == ["anna.jpg", "eve.jpg"]
