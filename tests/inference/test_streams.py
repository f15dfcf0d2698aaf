"""Many streams at once: the same poses as one by one, and none that stops another."""

import threading

import jax
import numpy as np
import pytest
from helpers import blob_image, blob_networks, shared, write_clip

import blazepose_jax as bp
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference.batch import forget, searches, track_batch
from blazepose_jax.inference.jax_engine import JaxEngine
from blazepose_jax.inference.stream_engines import JaxStreams, load_stream_engine
from blazepose_jax.inference.streams import Ended, Tracked, run_streams
from blazepose_jax.io.media import Picture, read_media
from blazepose_jax.weights import Weights

DETECTOR, POSE = blob_networks()
SETTINGS = bp.Settings(max_people=2, search="none")
EMPTY = blob_image(240, 200)


def moving(count, start, step=(3, 1)):
    return [
        blob_image(240, 200, (start[0] + i * step[0], start[1] + i * step[1])) for i in range(count)
    ]


# Of unequal length; people who are lost and found; two people; another size.
CLIPS = [
    moving(6, (60, 100)),
    [*moving(2, (80, 60)), EMPTY, EMPTY, *moving(3, (90, 90))],
    [blob_image(240, 200, (60 + i, 60), (180 - i, 120)) for i in range(4)],
    [EMPTY, EMPTY],
    [blob_image(400, 300, (200 + 2 * i, 150)) for i in range(5)],
]


def pictures(images):
    return [Picture(i, i / 30, image) for i, image in enumerate(images)]


def alone(images):
    tracker = bp.Tracker(Weights(DETECTOR, POSE, "blobs"), settings=SETTINGS)
    return [tracker(picture.image, picture.time) for picture in pictures(images)]


def engine(slots, batched=False):
    found = JaxStreams(JaxEngine(DETECTOR, POSE, SETTINGS, "blobs"), SETTINGS, slots)
    found._batched = batched
    return found


def together(engine, sources):
    found, ended = {}, {}
    for event in run_streams(engine, sources):
        if isinstance(event, Ended):
            ended[event.stream] = event.error
        else:
            assert isinstance(event, Tracked)
            assert event.stream not in ended
            found.setdefault(event.stream, []).append(event.poses)
    return found, ended


# Of another size in the smallest buffer, too: one capacity less to compile for.
SMALL_CLIPS = [*CLIPS[:4], [blob_image(250, 240, (200 + 2 * i, 150)) for i in range(5)]]


@pytest.mark.parametrize(
    ("slots", "batched", "clips", "capacities"),
    [(2, False, CLIPS, 2), (5, True, SMALL_CLIPS, 1)],
    ids=["in turns", "batched"],
)
def test_streams_equal_single_ones_and_take_turns(slots, batched, clips, capacities):
    many = engine(slots, batched)
    compiled = track_batch.programs()
    found, ended = together(many, map(pictures, clips))
    assert ended == dict.fromkeys(range(5))
    for stream, images in enumerate(clips):
        expected = alone(images)
        assert len(found[stream]) == len(images)
        for a, b in zip(found[stream], expected, strict=True):
            np.testing.assert_array_equal(a.ids, b.ids)
            np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-3 * batched)
            np.testing.assert_allclose(a.visibility, b.visibility, atol=1e-5 * batched)
    # For each capacity: nobody searched, or somebody; batched one, two, four or all. A stream that
    # ends and one that begins compile nothing, nor does the second time.
    programs = track_batch.programs() - compiled
    assert programs <= capacities * (2 + slots.bit_length() if batched else 2)
    together(many, map(pictures, clips))
    assert track_batch.programs() - compiled == programs


def test_a_program_is_compiled_for_few_numbers_of_searches():
    def count(wanted, streams, batched):
        return searches(np.arange(streams) < wanted, batched=batched)

    assert [count(n, 8, True) for n in range(9)] == [0, 1, 2, 4, 4, 8, 8, 8, 8]
    assert [count(n, 6, True) for n in range(7)] == [0, 1, 2, 4, 4, 6, 6]
    assert [count(n, 6, False) for n in range(4)] == [0, 6, 6, 6]


def test_a_broken_stream_and_one_that_waits_stop_no_other():
    go = threading.Event()

    def waiting():
        yield pictures(CLIPS[0])[0]
        assert go.wait(60)
        yield from pictures(CLIPS[0])[1:]

    def breaking():
        yield from pictures(CLIPS[0])[:2]
        raise BlazePoseError("the file is cut")

    seen, ended = {}, {}
    sources = [waiting(), breaking(), "/does/not/exist.mp4", pictures(CLIPS[2])]
    for event in run_streams(engine(3), sources):
        if isinstance(event, Ended):
            ended[event.stream] = event.error
        else:
            seen.setdefault(event.stream, []).append(event.poses)
        if {1, 2, 3} <= ended.keys():
            go.set()
    assert "is cut" in str(ended[1])
    assert "does not exist" in str(ended[2])
    assert ended[0] is None
    assert ended[3] is None
    assert [len(seen[stream]) for stream in (0, 1, 3)] == [6, 2, 4]
    for a, b in zip(seen[0], alone(CLIPS[0]), strict=True):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)


def test_a_batch_of_pictures_and_squares():
    images = [CLIPS[0][0], CLIPS[4][0], CLIPS[2][0]]
    centers = np.array([[60.0, 100], [200, 150], [70, 70]], np.float32)
    squares = bp.ROI(centers, np.array([80.0, 100, 90], np.float32), np.zeros(3, np.float32))
    found = bp.estimate_batch(POSE, images, squares, settings=SETTINGS)
    assert found.keypoints.shape == (3, 33, 3)
    for i, image in enumerate(images):
        one = jax.tree.map(lambda a, i=i: a[i : i + 1], squares)
        expected = bp.estimate(POSE, image, one, settings=SETTINGS)
        assert bool(found.present[i])
        np.testing.assert_allclose(found.keypoints[i], expected.keypoints[0], atol=1e-3)
        np.testing.assert_allclose(found.roi.center[i], centers[i])
    two = jax.tree.map(lambda a: a[:2], squares)
    with pytest.raises(BlazePoseError, match="3 pictures and 2 squares"):
        bp.estimate_batch(POSE, images, two, settings=SETTINGS)


def test_one_stream_forgets_alone():
    many = engine(3)
    many.step(dict.fromkeys(range(3), (CLIPS[0][0], np.nan)))
    before = jax.device_get(many._state)
    fresh = bp.initial_state(bp.BLAZEPOSE, 2)
    after = jax.device_get(forget(many._state, 1, fresh))
    for a, b, new in zip(*map(jax.tree.leaves, (after, before, fresh)), strict=True):
        np.testing.assert_array_equal(a[1], new)
        np.testing.assert_array_equal(a[[0, 2]], b[[0, 2]])


def test_no_slot_is_an_error(random_weights):
    with pytest.raises(BlazePoseError, match="slots is 0: it is a number of streams"):
        bp.track_streams([], random_weights, slots=0)


def test_real_clips_together_in_threads(released):
    pytest.importorskip("ai_edge_litert")
    settings = bp.Settings(world=False)
    clips = [shared("data", "video", name) for name in ("pose_squats.mp4", "pose_1.mp4")]
    media = [read_media(clip, end=1.0) for clip in clips]
    many = load_stream_engine(released, None, settings, "litert", 2)
    found, ended = together(many, media)
    assert ended == {0: None, 1: None}
    for stream, clip in enumerate(media):
        tracker = bp.Tracker(released, settings=settings, runtime="litert")
        for poses, picture in zip(found[stream], clip, strict=True):
            expected = tracker(picture.image, picture.time)
            np.testing.assert_array_equal(poses.ids, expected.ids)
            np.testing.assert_array_equal(poses.keypoints, expected.keypoints)


def test_what_is_no_source_and_what_is_no_picture_end_alone(monkeypatch):
    def own():
        yield pictures(CLIPS[0])[0]
        raise ValueError("the decoder of somebody else")

    def failing():
        raise KeyError("no such camera")

    monkeypatch.setattr("blazepose_jax.io.frames.LARGEST_CAPACITY", 400 * 300)
    no_image = [Picture(0, 0.0, np.zeros((9, 9, 3), np.float32))]
    cut = [*pictures(CLIPS[0])[:1], None]
    timed, large = Picture(0, "soon", CLIPS[0][0]), Picture(0, 0.0, blob_image(401, 300))
    sources = [no_image, own(), None, 7, pictures(CLIPS[2]), [3], failing, cut, [timed], [large]]
    found, ended = together(engine(2), sources)
    assert "has the type float32" in str(ended[0])
    assert "a source fails (ValueError: the decoder of somebody else)" in str(ended[1])
    assert "a source is None" in str(ended[2])
    assert "a source is 7" in str(ended[3])
    assert ended[4] is None
    assert len(found[4]) == 4
    assert "a source gives 3: it must give Pictures" in str(ended[5])
    assert "a source fails (KeyError: 'no such camera')" in str(ended[6])
    assert "a source gives None: it must give Pictures" in str(ended[7])
    assert "a source fails (ValueError: could not convert string to float" in str(ended[8])
    assert "401x300 pixels: at most 120000 are supported" in str(ended[9])


def test_times_may_be_left_out_as_for_a_tracker():
    tracker = bp.Tracker(Weights(DETECTOR, POSE, "blobs"), settings=SETTINGS)
    found, ended = together(engine(1), [[Picture(i, None, im) for i, im in enumerate(CLIPS[0])]])
    assert ended == {0: None}
    for poses, image in zip(found[0], CLIPS[0], strict=True):
        np.testing.assert_array_equal(poses.keypoints, tracker(image).keypoints)


@pytest.mark.parametrize("sources", ["clip.mp4", 3])
def test_one_source_is_a_list_of_one(sources, random_weights):
    with pytest.raises(BlazePoseError, match="give a list of sources, also of one"):
        bp.track_streams(sources, random_weights)


def test_no_picture_has_no_pose():
    none = bp.ROI(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32))
    found = bp.estimate_batch(POSE, iter([]), none, settings=SETTINGS)
    assert found.keypoints.shape == (0, 33, 3)


def test_the_front_door_tracks_each_source_as_a_tracker_does(random_weights, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 4)
    settings = bp.Settings(min_detection_confidence=0.0, min_presence_confidence=0.0, search="none")
    tracker = bp.Tracker(random_weights, settings=settings)
    alone = [tracker(picture.image, picture.time) for picture in read_media(clip)]
    assert all(poses.present[0] for poses in alone)
    sources = [str(clip), lambda: read_media(clip)]
    events = list(bp.track_streams(sources, random_weights, settings=settings, slots=2))
    for stream in range(2):
        *tracked, ended = [event for event in events if event.stream == stream]
        assert ended == Ended(stream, None)
        assert [one.picture.index for one in tracked] == list(range(4))
        for one, expected in zip(tracked, alone, strict=True):
            jax.tree.map(np.testing.assert_array_equal, one.poses, expected)
