"""``blazepose track A B ... --output DIR``."""

import json

import pytest
from helpers import fails, gradient, write_clip
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.cli.track_many import result_names

EVERYBODY = ("--min-detection-confidence", "0", "--min-presence-confidence", "0")
HOW = (*EVERYBODY, "--search", "none", "--runtime", "litert")


@pytest.fixture
def clips(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "other").mkdir()
    return [
        write_clip(tmp_path / "clip.mp4", 4),
        write_clip(tmp_path / "other" / "clip.mp4", 6),
        write_clip(tmp_path / "third.mp4", 3),
    ]


def run(weights, *more):
    return main(["track", *map(str, more), "--weights", str(weights), *HOW])


def test_each_input_has_the_results_that_it_has_alone(clips, random_weights, tmp_path, capsys):
    out = tmp_path / "out"
    many = ("--output", out, "--formats", "json,csv", "--slots", 2)
    assert run(random_weights, *clips, *many) == 0
    said = capsys.readouterr().out
    assert said.startswith("13 frames of 3 inputs, 13 with people, ")
    names = ["clip", "clip_2", "third"]
    assert {file.name for file in out.iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("json", "csv")
    }
    alone = tmp_path / "alone.json"
    assert run(random_weights, clips[1], "--json", alone) == 0
    found = json.loads((out / "clip_2.json").read_text(encoding="utf-8"))
    assert found == json.loads(alone.read_text(encoding="utf-8"))


def test_a_broken_input_stops_no_other(clips, random_weights, tmp_path, capsys):
    broken, out = tmp_path / "broken.mp4", tmp_path / "out"
    broken.write_bytes(clips[0].read_bytes()[:200])
    assert run(random_weights, clips[0], broken, tmp_path / "none.mp4", "--output", out) == 2
    err = capsys.readouterr().err
    assert f"blazepose: {broken} failed: " in err
    assert "2 of 3 inputs failed, as said above: the results of the others are in" in err
    assert "Traceback" not in err
    assert [file.name for file in out.iterdir()] == ["clip.json"]


def test_pictures_stand_alone(random_weights, tmp_path, capsys):
    pytest.importorskip("ai_edge_litert")
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for i, file in enumerate(files):
        Image.fromarray(gradient(i, 64 + 8 * i, 48)).save(file)
    out = tmp_path / "out"
    assert run(random_weights, *files, "--output", out) == 0
    alone = tmp_path / "alone.json"
    assert run(random_weights, files[1], "--json", alone) == 0
    assert run(random_weights, *files, tmp_path / "none.png", "--output", out) == 2
    assert "none.png failed: " in capsys.readouterr().err
    found = json.loads((out / "1.json").read_text(encoding="utf-8"))
    assert found == json.loads(alone.read_text(encoding="utf-8"))


def test_an_animation_is_decoded_as_it_is_alone(random_weights, tmp_path, capsys):
    pytest.importorskip("ai_edge_litert")
    frames = [Image.fromarray(gradient(i, 64, 48)) for i in range(3)]
    film, photo = tmp_path / "a.gif", tmp_path / "b.png"
    frames[0].save(film, save_all=True, append_images=frames[1:], duration=100)
    frames[0].save(photo)
    assert run(random_weights, film, "--output", tmp_path / "out") == 0
    assert run(random_weights, film, "--json", tmp_path / "alone.json") == 0
    found = (tmp_path / "out" / "a.json").read_text(encoding="utf-8")
    assert json.loads(found) == json.loads((tmp_path / "alone.json").read_text(encoding="utf-8"))
    words = ("track", film, photo, "--weights", random_weights, "--output", tmp_path / "both")
    capsys.readouterr()
    assert "is of pictures and" in (err := fails(capsys, *words))
    assert "or give --decode" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "2 inputs need a folder for their results: give --output DIR"),
        (("--output", "o", "--json", "a.json"), "--json names the result of one input"),
        (("--output", "o", "--roi", "whole"), "--roi whole holds for one input"),
        (("--output", "o", "--formats", "jsn"), "unknown format 'jsn': did you mean 'json'?"),
        (("--output", "o", "--slots", "0"), "slots is 0: it is a number of streams, 1 or more"),
        (("--output", "o.mp4"), "'o.mp4' is the name of a file, and a folder is meant"),
    ],
)
def test_options_that_do_not_fit(words, message, random_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("track", "a.mp4", "b.mp4", "--weights", random_weights, *words)
    assert message in fails(capsys, *words)


def test_options_of_many_inputs_are_refused_for_one(clips, random_weights, tmp_path, capsys):
    words = ("track", clips[0], "--json", tmp_path / "a.json", "--weights", random_weights)
    assert "--formats csv is of several inputs" in fails(capsys, *words, "--formats", "csv")
    assert "--slots 4 is of several inputs" in fails(capsys, *words, "--slots", 4)
    assert not (tmp_path / "a.json").exists()


def test_an_input_is_never_overwritten(random_weights, tmp_path, capsys):
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    words = ("track", tmp_path / "a.json", "b", "--weights", random_weights, "--output", tmp_path)
    assert "is the input: name another file" in fails(capsys, *words)
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "{}"


def test_names_of_results():
    inputs = ["x/a.mp4", "y/A.avi", "a_2.mp4", "camera:0", "rtsp://host/live", "-"]
    assert result_names(inputs) == ["a", "A_2", "a_2_2", "camera_0", "live", "-"]
    # Passwords and tokens are no part of a name.
    secret = ["rtsp://admin:secret@192.168.1.5:554", "https://a:b@host/clip.mp4?token=c#d"]
    assert result_names(secret) == ["192.168.1", "clip"]
