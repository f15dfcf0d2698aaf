"""``blazepose track --roi``."""

import json
import shutil

import pytest
from helpers import fails, gradient, write_clip
from PIL import Image

from blazepose_jax.cli.main import main

ALWAYS = ("--min-presence-confidence", "0", "--search", "none")


@pytest.fixture(scope="module")
def pose_alone(random_weights, tmp_path_factory):
    """The weights without their detector."""
    folder = tmp_path_factory.mktemp("alone") / "weights"
    shutil.copytree(random_weights, folder)
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    del model["networks"]["detector"]
    (folder / "model.json").write_text(json.dumps(model), encoding="utf-8")
    (folder / "detector.safetensors").unlink()
    return folder


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", 4)


def track(capsys, source, weights, *options):
    """Run it; the last line of what it prints."""
    words = ["track", str(source), "--weights", str(weights), *map(str, options)]
    assert main(words) == 0
    return capsys.readouterr().out.strip().split("\n")[-1]


@pytest.mark.parametrize("runtime", ["jax", "litert"])
@pytest.mark.parametrize("roi", ["whole", "8,4,40,30"])
def test_a_video_is_tracked_without_a_detector(capsys, clip, pose_alone, tmp_path, roi, runtime):
    out = tmp_path / "points.json"
    options = ("--roi", roi, "--json", out, "--runtime", runtime, *ALWAYS)
    line = track(capsys, clip, pose_alone, *options)
    assert line.startswith("4 frames, 4 with people, 0 detector runs, ")
    starts = int(line.split(", ")[3].removesuffix(" starts at the first square"))
    # A net of random numbers may aim at nothing; then the next frame begins again.
    assert 1 <= starts <= 4
    frames = json.loads(out.read_text(encoding="utf-8"))["frames"]
    assert [len(frame["people"]) for frame in frames] == [1] * 4


def test_every_picture_of_a_folder_starts_at_its_own_square(capsys, pose_alone, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, (width, height) in enumerate([(64, 48), (40, 80), (100, 30)]):
        Image.fromarray(gradient(i, width, height)).save(folder / f"{i}.png")
    line = track(capsys, folder, pose_alone, "--roi", "whole", *ALWAYS)
    assert line.startswith(
        "3 frames, 3 with people, 0 detector runs, 3 starts at the first square, "
    )
    line = track(capsys, folder / "0.png", pose_alone, "--roi", "8,4,40,30", *ALWAYS)
    assert line.startswith(
        "1 frames, 1 with people, 0 detector runs, 1 starts at the first square, "
    )


def test_the_detector_is_the_default(capsys, clip, random_weights, pose_alone):
    options = ("--min-detection-confidence", "0", *ALWAYS)
    lines = [
        track(capsys, clip, random_weights, *options, *more).split(", ")[:4]
        for more in ((), ("--roi", "detector"))
    ]
    assert lines[0][:3] == lines[1][:3]
    assert int(lines[0][2].removesuffix(" detector runs")) > 0
    # As ever, without a word of first squares.
    for line in lines:
        assert "frames/s with compilation" in line[3]
    message = fails(capsys, "track", clip, "--weights", pose_alone, "--json", "x.json")
    assert "the weights hold no detector" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--roi", "hole"], "roi is 'hole': it must be detector, whole, or a box X,Y,W,H in px"),
        (["--roi", "1,2,3,0"], "W and H above 0"),
        (["--roi", "whole", "--max-people", "2"], "max_people is 2: follow one person"),
        (["--roi", "64,0,9,9"], "lies outside of the image of 64x48 px: give roi a box within it"),
    ],
)
def test_bad_squares_are_one_line(capsys, clip, pose_alone, tmp_path, options, message):
    out = tmp_path / "out.json"
    words = ("track", clip, "--weights", pose_alone, "--json", out, *options)
    assert message in fails(capsys, *words)
    assert not out.exists()


def test_a_picture_that_the_square_is_too_large_for_costs_no_other(capsys, pose_alone, tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "points.json"
    folder.mkdir()
    for i, (width, height) in enumerate([(64, 48), (10, 8), (64, 50)]):
        Image.fromarray(gradient(i, width, height)).save(folder / f"{i}.png")
    words = ["track", str(folder), "--weights", str(pose_alone), "--roi", "30,20,20,20", *ALWAYS]
    assert main([*words, "--json", str(out)]) == 0
    said = capsys.readouterr()
    assert "skipped: 1.png: " in said.err
    assert said.out.startswith("2 frames, 2 with people")
    frames = json.loads(out.read_text(encoding="utf-8"))["frames"]
    assert [frame["file"] for frame in frames] == ["0.png", "2.png"]
    for name in ("0.png", "2.png"):
        Image.fromarray(gradient(1, 10, 8)).save(folder / name)
    assert main([*words, "--json", str(tmp_path / "none.json")]) == 2
    assert "lies outside of the image" in capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()
