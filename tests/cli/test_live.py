"""``blazepose live``."""

import dataclasses
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, fails, gradient, shared, write_camera, write_clip
from PIL import Image

from blazepose_jax.analysis import read_recording
from blazepose_jax.analysis.angles import ANGLES, JointAngle
from blazepose_jax.analysis.measures import Measuring
from blazepose_jax.cli.live.server import TIME, make_server
from blazepose_jax.cli.live.session import Session
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.settings import Settings
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.rendering.exercises import exercise_figures, usual_person
from blazepose_jax.skeleton import BLAZEPOSE

NECK = JointAngle("nose", "left_shoulder", "left_hip")
EVERYBODY = Settings(min_detection_confidence=0.0, min_presence_confidence=0.0, search="none")


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def tracker(random_weights):
    return Tracker(random_weights, settings=EVERYBODY)


@pytest.fixture
def session(tracker, tmp_path):
    tracker.reset()
    return Session(tracker, "knee", tmp_path)


@pytest.fixture
def served(session, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 3)
    with make_server(session, clip, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def test_a_picture_is_tracked_and_recorded(session, tmp_path):
    name = session.start_recording()
    for i in range(4):
        found = session.frame(jpeg(gradient(i)), 10 + i / 25)
    assert found["recorded"] == 4
    (person,) = found["people"]
    assert len(person["points"]) == 33
    assert len(person["points"][0]) == 3
    assert found["repetitions"] == 0
    assert session.stop_recording() == 4
    recording = read_recording(tmp_path / name)
    np.testing.assert_allclose(recording.times, np.arange(4) / 25, atol=1e-6)
    assert session.frame(jpeg(gradient(0)), 11)["recorded"] is None


def test_who_comes_back_after_a_while_is_somebody_new(session):
    first = session.frame(jpeg(gradient(0)), 1.0)["people"][0]["id"]
    assert session.frame(jpeg(gradient(1)), 1.1)["people"][0]["id"] == first
    assert len(session._times) == 2
    later = session.frame(jpeg(gradient(1)), 9.0)["people"][0]["id"]  # the camera was away
    assert later > first, "a recording over the pause has two people"
    assert len(session._times) == 1, "whoever is there now begins at nothing"
    # A page that is loaded anew, with a clock of its own.
    session.reset()
    assert session.frame(jpeg(gradient(2)), 0.5)["people"]


def test_bad_pictures_and_times_are_errors(session):
    session.frame(jpeg(gradient(0)), 5.0)
    with pytest.raises(BlazePoseError, match="times grow"):
        session.frame(jpeg(gradient(0)), 5.0)
    with pytest.raises(BlazePoseError, match="times grow"):
        session.frame(jpeg(gradient(0)), float("nan"))
    with pytest.raises(BlazePoseError, match="no JPEG or PNG"):
        session.frame(b"GIF89a", 6.0)


def test_what_cannot_be_counted_is_an_error_at_once(tracker, tmp_path):
    with pytest.raises(BlazePoseError, match="is no angle to count by"):
        Session(tracker, "tail", tmp_path)


def test_the_server_answers_its_own_page_alone(served):
    status, page, headers = ask(served, "GET", "/")
    assert status == 200
    assert b"<canvas" in page
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert json.loads(ask(served, "GET", "/about")[1])["names"][0] == "nose"
    picture = jpeg(gradient(0))
    status, answer, _ = ask(served, "POST", "/frame", picture, **{TIME: "1.5"})
    assert status == 200
    assert json.loads(answer)["people"]
    # Another page, by a name that was bound to this address, or by a form.
    assert ask(served, "GET", "/", Host="evil.example")[0] == 403
    assert ask(served, "POST", "/frame", picture)[0] == 403
    status, answer, _ = ask(served, "POST", "/frame", b"no picture", **{TIME: "2"})
    assert status == 400
    assert "no JPEG or PNG" in json.loads(answer)["error"]
    assert ask(served, "POST", "/frame", picture, **{TIME: "soon"})[0] == 400
    assert ask(served, "GET", "/../session.py")[0] == 404
    assert ask(served, "GET", "/session.py")[0] == 404


def test_a_refused_picture_is_not_read_as_the_next_request(served, tmp_path):
    """What any page may post, with an order to this server as its content."""
    order = f"POST /start HTTP/1.1\r\nHost: localhost\r\n{TIME}: 0\r\nContent-Length: 0\r\n\r\n"
    head = f"POST /frame HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(order)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.server_address[1]), timeout=30) as link:
        link.sendall((head + order).encode())
        answers = b"".join(iter(lambda: link.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 ") == 1
    assert b" 403 " in answers
    assert not list(tmp_path.glob("live_*"))
    assert ask(served, "POST", "/frame", b"", **{TIME: "1", "Content-Length": "\u00b2"})[0] == 413


def test_the_clip_is_served_in_parts(served):
    whole = served.clip.read_bytes()
    assert ask(served, "GET", "/clip")[1] == whole
    assert ask(served, "GET", "/clip", Range=f"bytes={len(whole)}-")[0] == 416
    assert ask(served, "GET", "/clip", Range="bytes=20-9")[0] == 416
    status, part, headers = ask(served, "GET", "/clip", Range="bytes=10-19")
    assert (status, part) == (206, whole[10:20])
    assert headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert ask(served, "GET", "/clip", Range="bytes=5-")[1] == whole[5:]


def test_mistakes(random_weights, tmp_path, capsys):
    how = ("--weights", random_weights)
    assert "is no file: give a video" in fails(capsys, "live", tmp_path / "none.mp4", *how)
    assert "is no folder: make it" in fails(capsys, "live", "--output", tmp_path / "no", *how)
    assert "port is 70000" in fails(capsys, "live", "--port", 70000, *how)
    assert "is no angle to count by" in fails(capsys, "live", "--count", "tail", *how)


def test_a_camera_in_the_browser(released, tmp_path):
    """A real woman, whom the browser takes for its camera; it is unplugged and comes back."""
    pytest.importorskip("ai_edge_litert")
    has_browser = (ROOT / "tools" / "web" / "node_modules" / "playwright-core").is_dir()
    if not (has_browser and shutil.which("node") and Path("/usr/bin/chromium").exists()):
        pytest.skip("the browser is not here: run `make clients`")
    film = write_camera(tmp_path / "camera.mjpeg", shared("data", "video", "pose_squats.mp4"))
    knees = {f"{side}_knee": ANGLES[f"{side}_knee"] for side in ("left", "right")}
    how = Measuring({**knees, "neck": NECK}, lean=True)
    session = Session(Tracker(released, runtime="litert"), "knee", tmp_path, how)
    with make_server(session, None, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_address[1]}/"
        words = [address, film, "6", tmp_path / "page.png", "--unplug", "--record"]
        done = subprocess.run(
            ["node", ROOT / "tools" / "web" / "live_check.mjs", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, "TMPDIR": "/tmp"},
        )
        server.shutdown()
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["elsewhere"] == []
    assert found["error"] == ""
    assert found["lost"] == 1
    assert found["people"] == 1
    assert found["shown"] > 10
    shown = {name: list(map(int, degrees)) for name, *degrees in found["angles"]}
    assert {name: len(degrees) for name, degrees in shown.items()} == {
        "knee": 2,
        "neck": 1,
        "trunk_lean": 1,
    }
    (recorded,) = tmp_path.glob("live_*.json")
    recording = read_recording(recorded)
    assert len(recording.times) > 10
    assert np.isfinite(recording.points[:, 0, 0]).mean() > 0.9


def test_an_empty_room_is_remembered_once(session):
    for moment in (1.0, 2.0, 3.0):
        session._remember(moment)
    assert session._times == [3.0]
    session._people = [{"keypoints": np.ones((33, 5)), "confidence": np.ones(33)}]
    session._remember(4.0)
    session._people = []
    session._remember(5.0)
    assert session._times == [3.0, 4.0, 5.0]
    assert np.isnan(session._rows[2]).all()


def test_points_without_a_body_are_shown_and_not_counted(tracker, tmp_path):
    """An own set of a hand, say: there is nothing to count by, and that is no error."""
    tracker.reset()
    session = Session(tracker, None, tmp_path)
    assert session.frame(jpeg(np.full((64, 64, 3), 90, np.uint8)), 0.0)["repetitions"] == 0
    own = Measuring({"neck": NECK}, lean=False)
    tracker.reset()
    session = Session(tracker, "neck", tmp_path, own)
    (person,) = session.frame(jpeg(np.full((64, 64, 3), 90, np.uint8)), 0.0)["people"]
    assert set(person["angles"]) <= {"neck"}
    with pytest.raises(BlazePoseError, match="tail"):
        Session(tracker, None, tmp_path, Measuring({"a": JointAngle("tail", "nose", "nose")}))


def test_angles_are_those_of_analyze(session, tracker, tmp_path, monkeypatch):
    body = np.asarray(exercise_figures("squat", np.zeros(1), usual_person(), 0.9).points)[0]
    person = {"id": 0, "keypoints": 300 * body, "confidence": np.ones(33)}
    assert set(session._person(person)["angles"]) == {*ANGLES, "trunk_lean"}
    tracker.reset()
    how = Measuring({"neck": NECK}, lean=True)
    shown = Session(tracker, "knee", tmp_path, how)._person(person)["angles"]
    assert set(shown) == {"neck", "trunk_lean"}
    assert abs(shown["trunk_lean"]) < 10
    hand = dataclasses.replace(
        BLAZEPOSE, keypoints=tuple(f"p{i}" for i in range(33)), bones=(), center=("p0",), up=("p1",)
    )
    monkeypatch.setattr(tracker, "skeleton", hand)
    with pytest.raises(BlazePoseError, match="trunk_lean needs the point 'left_hip'"):
        Session(tracker, None, tmp_path, Measuring({}, lean=True))


def test_a_slow_counting_delays_the_next_by_seconds_at_most(session, monkeypatch):
    frame = jpeg(np.full((64, 64, 3), 90, np.uint8))
    monkeypatch.setattr(session, "_recount", lambda: time.sleep(0.5))
    session.frame(frame, 0.0)
    assert session._next_count <= 5.0
