"""``blazepose corpus``."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from helpers import ROOT, fails, write_clip

from blazepose_jax.cli import corpus_log
from blazepose_jax.cli.corpus import claim
from blazepose_jax.cli.corpus_clip import (
    FAILED,
    Job,
    load_tracker,
    result_paths,
    root_of,
    track_clip,
    warning_path,
)
from blazepose_jax.cli.corpus_log import BeamLog
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.settings import Settings

BEAM = ROOT / ".venv-beam" / "bin"
EVERYBODY = Settings(min_detection_confidence=0.0, min_presence_confidence=0.0, search="none")


def job(tmp_path, weights, formats=("json",)):
    root, output = f"{tmp_path}/clips/", str(tmp_path / "out")
    return Job(root, output, formats, str(weights), None, EVERYBODY, "jax", None, None)


def test_names_of_results_depend_on_the_clip_alone(tmp_path):
    assert root_of("/a/b/*/c?.mp4") == "/a/b/"
    assert root_of("gs://bucket/day[12]/**") == "gs://bucket/"
    assert root_of("/a/b/one.mp4") == "/a/b/"
    assert root_of("*.mp4") == ""
    found = result_paths(job(tmp_path, "w", ("csv", "json")), f"{tmp_path}/clips/x/one.mp4")
    assert found == [f"{tmp_path}/out/x/one.mp4.csv", f"{tmp_path}/out/x/one.mp4.json"]


def test_a_clip_is_tracked_from_its_beginning(tmp_path, random_weights):
    work = job(tmp_path, random_weights, ("csv", "json"))
    clip, tracker = write_clip(tmp_path / "one.mp4", 3), load_tracker(work)
    found = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        outcome = track_clip(tracker, work, "bucket/one.mp4", clip, tmp_path / name)
        assert (outcome.status, outcome.frames, outcome.occupied) == ("done", 3, 3)
        found.append([(tmp_path / name / f"result.{kind}").read_text() for kind in work.formats])
    assert found[0] == found[1]
    assert json.loads(found[0][1])["source"] == "bucket/one.mp4"


def test_a_broken_clip_leaves_nothing(tmp_path, random_weights):
    work = job(tmp_path, random_weights)
    clip, folder = write_clip(tmp_path / "one.mp4", 3), tmp_path / "results"
    clip.write_bytes(clip.read_bytes()[:200])
    folder.mkdir()
    outcome = track_clip(load_tracker(work), work, "one.mp4", clip, folder)
    assert outcome.status == FAILED
    assert "has no video stream" in outcome.error
    assert not list(folder.iterdir())


def corpus(*words):
    """The command in the environment that has Beam; started, not awaited."""
    if not (BEAM / "blazepose").exists():
        pytest.skip("Beam has an environment of its own: make beam")
    return subprocess.Popen(
        [BEAM / "blazepose", "corpus", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def done(process):
    """Exit code, standard output and standard error."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture
def clips(tmp_path):
    """200 clips of two frames, three of them broken."""
    folder = tmp_path / "clips"
    (folder / "more").mkdir(parents=True)
    whole = write_clip(folder / "000.mp4", 2)
    for i in range(1, 200):
        shutil.copy(whole, folder / ("more" if i % 2 else ".") / f"{i:03d}.mp4")
    for path in ("more/005.mp4", "more/077.mp4", "150.mp4"):
        (folder / path).write_bytes(whole.read_bytes()[:300])
    return folder


@pytest.mark.long
def test_a_killed_worker_costs_nothing_that_was_done(clips, random_weights, tmp_path):
    out = tmp_path / "out"
    how = ("--output", out, "--weights", random_weights, "--search", "none", "--workers", 2)
    how += ("--min-detection-confidence", 0, "--min-presence-confidence", 0)
    first = corpus(f"{clips}/**.mp4", *how)
    while first.poll() is None and len(list(out.rglob("*.mp4.json"))) < 20:
        time.sleep(0.05)
    session = subprocess.run(
        ["pgrep", "-s", str(first.pid), "-f", "python.* -m apache_beam.runners.worker"],
        capture_output=True,
        text=True,
        check=True,
    )
    os.kill(int(session.stdout.split()[-1]), signal.SIGKILL)
    code, _, err = done(first)
    assert code == 2, err
    *progress, said = err.splitlines()
    assert said.startswith("blazepose: a worker stopped (")
    assert said.endswith("the same command goes on")
    assert all(line.endswith(" of 200 clips have results") for line in progress)
    assert "Channel closed" in (out / "beam.log").read_text()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4.json")}
    assert 20 <= len(before) < 197
    code, said, err = done(corpus(f"{clips}/**.mp4", *how))
    assert code == 0, err
    assert f"200 clips: {197 - len(before)} done, {len(before)} done before, 3 failed" in said
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    failed = [json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines()]
    names = [os.path.relpath(line["clip"], clips) for line in failed]
    assert names == ["150.mp4", "more/005.mp4", "more/077.mp4"]
    assert not [path for path in out.rglob("*") if path.suffix == ".part"]
    sums = json.loads((out / "summary.json").read_text())
    assert sums["frames"] == sums["people"] == 2 * (197 - len(before))
    for path in out.rglob("*.mp4.json"):
        assert len(json.loads(path.read_text())["frames"]) == 2
    # Other networks or settings do not mix with these results.
    code, _, err = done(corpus(f"{clips}/**.mp4", *how, "--max-people", 2))
    assert code == 2
    assert "has results with settings" in err


def test_results_of_before_a_setting_are_gone_on_with(tmp_path):
    """What says nothing of it was made with its default."""

    mine = Job("", str(tmp_path), ("json",), __file__, None, Settings(), "jax", None, None)

    @contextlib.contextmanager
    def opened(target):
        with open(target, "rb") as file:
            yield file

    def publish(text, target):
        (tmp_path / "corpus.json").write_text(text)

    pipeline = SimpleNamespace(
        FileSystems=SimpleNamespace(exists=os.path.exists, open=opened),
        present_targets=lambda pattern, job: [],
        remove_parts=lambda output: None,
        publish_text=publish,
    )
    claim("*", mine, pipeline)
    path = tmp_path / "corpus.json"
    before = json.loads(path.read_text())
    del before["settings"]["precision"]
    path.write_text(json.dumps(before))
    claim("*", mine, pipeline)
    before["settings"]["max_people"] = 7
    path.write_text(json.dumps(before))
    with pytest.raises(BlazePoseError, match="has results with settings"):
        claim("*", mine, pipeline)


def test_what_beam_says_is_kept_and_progress_is_shown(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(corpus_log, "LOG_SECONDS", 0.01)
    present, published, counted = {"a.json", "summary.json"}, {}, threading.Event()

    def present_results(job):
        counted.set()
        return present

    pipeline = SimpleNamespace(
        expected_results=lambda pattern, job: {"a.json", "b.json"},
        present_results=present_results,
        publish=lambda path, target: published.update({target: path.read_text()}),
    )
    work = job(tmp_path, "w")

    def run():
        with BeamLog("*.mp4", work, pipeline, is_quiet=True):
            os.write(2, b"what Beam says\n")
            assert counted.wait(60)
            raise RuntimeError("the worker is gone")

    with pytest.raises(BlazePoseError, match="a worker stopped"):
        run()
    err = capfd.readouterr().err
    assert "corpus: 1 of 2 clips have results\n" in err
    assert "what Beam says" not in err
    assert published == {f"{work.output}/beam.log": "what Beam says\n\nthe worker is gone\n"}


def test_a_mistake_in_the_pattern_claims_no_folder(random_weights, tmp_path):
    out = tmp_path / "out"
    how = ("--output", out, "--weights", random_weights)
    code, _, err = done(corpus(tmp_path / "wrong" / "*.mp4", *how))
    assert code == 2
    assert "nothing matches" in err
    assert err.count("\n") == 1
    assert not (out / "corpus.json").exists()
    # Somebody else's half of a file, and a killed worker's.
    out.mkdir(exist_ok=True)
    theirs, ours = out / "film.mp4.part", out / f"a.json.{'0' * 32}.part"
    theirs.touch()
    ours.touch()
    whole = write_clip(tmp_path / "a.mp4", 2)
    (tmp_path / "b.mp4").write_bytes(whole.read_bytes()[:300])
    code, said, err = done(corpus(tmp_path / "*.mp4", *how))
    assert code == 0, err
    assert "2 clips: 1 done, 0 done before, 1 failed" in said
    (failed,) = (json.loads(line) for line in (out / "failed.jsonl").read_text().splitlines())
    assert failed["clip"] == str(tmp_path / "b.mp4")
    assert theirs.exists()
    assert not ours.exists()
    code, _, err = done(corpus(tmp_path / "*.mp4", *how, "paralelism=8"))
    assert code == 2
    assert "Beam has no option 'paralelism'" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((".",), "is a folder: give the names of its clips"),
        (("none.mp4",), "does not exist"),
        (("*.mp4", "more.mp4"), "is no option of Beam"),
        (
            ("*.mp4", "runner=FlinkRunner", "--workers", "2"),
            "--workers is of this machine's runner",
        ),
        (("*.mp4", "--workers", 0), "--workers is 0: it is a number of processes"),
    ],
)
def test_bad_options(tmp_path, capsys, words, message):
    assert message in fails(capsys, "corpus", *words, "--output", tmp_path / "out")


def test_without_beam_the_error_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    said = fails(capsys, "corpus", "*.mp4", "--output", tmp_path)
    assert "need Apache Beam: pip install" in said


def test_a_cut_clip_says_so_beside_its_results(tmp_path, random_weights):
    work = job(tmp_path, random_weights)
    clip, folder = write_clip(tmp_path / "one.mkv", 40), tmp_path / "results"
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 3 // 5])
    folder.mkdir()
    outcome = track_clip(load_tracker(work), work, "one.mkv", clip, folder)
    assert outcome.status == "done"
    assert 0 < outcome.frames < 40
    assert "one.mkv is cut" in outcome.warnings
    assert warning_path(work, f"{tmp_path}/clips/x/one.mkv").endswith("/out/x/one.mkv.warnings.txt")


def test_files_of_somebody_elses_are_no_results(random_weights, tmp_path):
    write_clip(tmp_path / "a.mp4", 2)
    theirs = tmp_path / "a.mp4.json"
    theirs.write_text("{}")
    words = (tmp_path / "*.mp4", "--output", tmp_path, "--weights", random_weights)
    code, _, err = done(corpus(*words))
    assert code == 2
    assert "a.mp4.json' exists, and no corpus.json beside it says what made it" in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.mp4.json"]
    (tmp_path / "corpus.json").write_text("[")
    code, _, err = done(corpus(*words))
    assert code == 2
    assert "corpus.json is no JSON" in err
