"""Every data set of `data prepare` in every format."""

import numpy as np
import pytest
from helpers import NAMES, fails, standing
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.data.streams import open_stream
from blazepose_jax.skeleton import LSP


def write_lsp(folder):
    """Four drawn people as LSP's archive has them, counted from 1."""
    from scipy.io import savemat

    (folder / "images").mkdir(parents=True)
    place = dict(zip(NAMES, standing(), strict=True))
    place |= {"neck": place["nose"] + [0, 15, 0], "head_top": place["nose"] - [0, 10, 0]}
    person = np.array([[*place[name][:2] + 1, 0] for name in LSP.keypoints])
    savemat(folder / "joints.mat", {"joints": np.stack([person.T] * 4, -1)})
    for i in range(1, 5):
        Image.new("RGB", (220, 200), (90, 90, 90)).save(folder / "images" / f"im{i:04d}.jpg")


def test_options_of_the_other_kind_of_source_are_refused(tmp_path, capsys):
    write_lsp(tmp_path / "lsp")
    words = ("data", "prepare", "lsp", "--source", tmp_path / "lsp", "--output", tmp_path / "out")
    assert "--images is of a folder with" in fails(capsys, *words, "--images", tmp_path)
    (tmp_path / "lsp" / "images" / "im0002.jpg").unlink()
    said = fails(capsys, *words, "--strict")
    assert "image file missing" in said
    assert "strict reading allows none to be dropped" in said
    (tmp_path / "lsp" / "annotations.json").write_text("{}")
    assert "--split test is of LSP's archive" in fails(capsys, *words, "--split", "test")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["records", "tfds"])
@pytest.mark.parametrize("name", ["lsp", "rendered_people"])
def test_a_set_in_a_format_is_read_back(tmp_path, name, form):
    if form == "tfds":
        pytest.importorskip("tensorflow_datasets")
    source = ["--count", "4"]
    if name == "lsp":
        write_lsp(tmp_path / "lsp")
        source = ["--source", str(tmp_path / "lsp")]
    words = [name, *source, "--size", "160", "--format", form, "--output", str(tmp_path / "out")]
    assert main(["data", "prepare", *words]) == 0
    stream, held_out = open_stream(tmp_path / "out", 1)
    assert (len(stream), len(held_out)) == (3, 1)
    batch = stream.batch(0, 2, 0)
    assert batch.pixels.shape == (2, 160, 160, 3)
    # Depth and metres of rendered people are known, and of nobody else.
    known = None if batch.has_3d_labels is None else batch.has_3d_labels.tolist()
    assert known == ([True, True] if name == "rendered_people" else None)
