"""Folders of what is made once and kept."""

import os

from blazepose_jax.io.cache import keep_newest


def test_the_newest_files_stay_whatever_their_names(tmp_path):
    ages = {"a": 30, "b": 10, "c": 50, "d": 20, "e": 40}
    for name, age in ages.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    keep_newest(tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "d"]
    keep_newest(tmp_path, 3)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_is_not_there_is_no_error(tmp_path):
    keep_newest(tmp_path / "none", 3)
    assert not (tmp_path / "none").exists()
