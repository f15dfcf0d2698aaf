import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import blob_image, blob_networks
from jax import lax

from blazepose_jax import inference
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference import Settings, SmoothingConfig
from blazepose_jax.inference.state import resized
from blazepose_jax.io.frames import ALIGNMENT, capacity, to_frame
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import Poses

DETECTOR, POSE = blob_networks()
ONE = Settings(smoothing=False)


def follow(frames, settings=ONE, state=None):
    state = inference.initial_state(BLAZEPOSE, settings.max_people) if state is None else state
    seen = []
    for image in frames:
        state, poses = inference.track(
            DETECTOR, POSE, state, to_frame(image), 1 / 30, settings=settings
        )
        seen.append(jax.device_get(poses))
    return state, seen


def moving(count, start=(60, 100), step=(3, 1)):
    return [
        blob_image(240, 200, (start[0] + i * step[0], start[1] + i * step[1])) for i in range(count)
    ]


def test_tracks_a_moving_disc_and_detects_once():
    state, seen = follow(moving(20))
    assert int(state.detector_runs) == 1
    for i, poses in enumerate(seen):
        assert poses.present[0]
        assert poses.ids[0] == 0
        np.testing.assert_allclose(poses.keypoints[0, 0, :2], [60 + 3 * i, 100 + i], atol=1.0)


def test_detects_again_only_after_the_person_is_lost():
    empty = blob_image(240, 200)
    state, seen = follow([*moving(3), empty, empty, *moving(3)])
    assert [bool(p.present[0]) for p in seen] == [True] * 3 + [False] * 2 + [True] * 3
    # Once at first, not in the frame that loses the person, then until somebody is found.
    assert int(state.detector_runs) == 1 + 1 + 1
    assert [int(p.ids[0]) for p in seen] == [0, 0, 0, -1, -1, 1, 1, 1]


def test_two_people_keep_their_ids_when_one_leaves_and_another_comes():
    settings = Settings(max_people=2, smoothing=False)
    a, b, c = (60, 60), (180, 60), (60, 150)
    frames = (
        [blob_image(240, 200, a, b)] * 3
        + [blob_image(240, 200, b)] * 2
        + [blob_image(240, 200, b, c)] * 2
    )
    state, seen = follow(frames, settings)

    def whereabouts(poses):
        return {
            int(poses.ids[s]): poses.keypoints[s, 0, :2].round().astype(int).tolist()
            for s in np.flatnonzero(poses.present)
        }

    first, middle, last = whereabouts(seen[2]), whereabouts(seen[4]), whereabouts(seen[6])
    assert set(first) == {0, 1}
    (stayed,) = middle
    np.testing.assert_allclose(first[stayed], b, atol=1)
    np.testing.assert_allclose(middle[stayed], b, atol=1)
    assert set(last) == {stayed, 2}
    np.testing.assert_allclose(last[2], c, atol=1)
    # at first; with a slot free in the fifth frame and the sixth
    assert int(state.detector_runs) == 1 + 2


def test_two_tracks_on_one_person_become_one():
    settings = Settings(max_people=2, smoothing=False)
    state, _ = follow([blob_image(240, 200, (60, 60), (180, 60))], settings)
    state = state.replace(roi=jax.tree.map(lambda a: a.at[1].set(a[0]), state.roi))
    state, seen = follow([blob_image(240, 200, (60, 60))], settings, state)
    np.testing.assert_array_equal(seen[0].present, [True, False])
    np.testing.assert_array_equal(seen[0].ids, [0, -1])


def test_smoothing_lags_and_is_reset_with_the_person():
    jump = [blob_image(240, 200, (100, 100))] * 5 + [blob_image(240, 200, (104, 100))]
    _, raw = follow(jump)
    _, smooth = follow(jump, Settings())
    moved = smooth[5].keypoints[0, 0, 0] - smooth[4].keypoints[0, 0, 0]
    assert 0 < moved < raw[5].keypoints[0, 0, 0] - raw[4].keypoints[0, 0, 0]
    _, again = follow(
        [*jump[:3], blob_image(240, 200), blob_image(240, 200, (150, 60))], Settings()
    )
    np.testing.assert_allclose(again[4].keypoints[0, 0, :2], [150, 60], atol=1)


def test_the_filters_constants_move_the_points():
    jump = [blob_image(240, 200, (100, 100))] * 5 + [blob_image(240, 200, (104, 100))]

    def moved(settings):
        _, seen = follow(jump, settings)
        return seen[5].keypoints[0, 0, 0] - seen[4].keypoints[0, 0, 0]

    lazy = SmoothingConfig(keypoints_min_cutoff=0.01, keypoints_beta=1.0)
    assert 0 < moved(Settings(filters=lazy)) < moved(Settings()) < moved(ONE)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"keypoints_min_cutoff": 0.0}, "keypoints_min_cutoff is 0.0: it must be a finite number"),
        ({"world_beta": -1.0}, "world_beta is -1.0: it must be a finite number above 0"),
        ({"derivative_cutoff": float("nan")}, "derivative_cutoff is nan"),
        ({"visibility_alpha": 1.5}, "visibility_alpha is 1.5: it must be at most 1"),
    ],
)
def test_constants_that_are_no_filter_are_refused(filters, message):
    with pytest.raises(BlazePoseError, match=message):
        Settings(filters=SmoothingConfig(**filters))


def test_every_person_is_smoothed():
    settings = Settings(max_people=2)
    still = [blob_image(240, 200, (60, 60), (180, 60))] * 4
    _, smooth = follow([*still, blob_image(240, 200, (63, 60), (183, 60))], settings)
    _, raw = follow(
        [*still, blob_image(240, 200, (63, 60), (183, 60))],
        dataclasses.replace(settings, smoothing=False),
    )
    for slot in (0, 1):
        moved, unfiltered = (
            s[4].keypoints[slot, 0, 0] - s[3].keypoints[slot, 0, 0] for s in (smooth, raw)
        )
        assert 0 < moved < unfiltered


def test_same_input_gives_the_same_bits():
    first, second = (follow(moving(8), Settings())[1] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_scan_is_the_loop():
    frames = [to_frame(image) for image in moving(6)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *frames)

    @jax.jit
    def run(state, frames):
        return lax.scan(
            lambda s, f: inference.track(DETECTOR, POSE, s, f, 1 / 30, settings=ONE), state, frames
        )

    _, poses = run(inference.initial_state(BLAZEPOSE), stacked)
    _, seen = follow(moving(6))
    np.testing.assert_allclose(
        poses.keypoints[:, 0], np.stack([p.keypoints[0] for p in seen]), atol=1e-3
    )


def test_frames_of_one_capacity_share_one_program():
    settings = Settings(smoothing=False, nms_threshold=0.31)  # not compiled by another test
    state = inference.initial_state(BLAZEPOSE)
    before = inference.pipeline._track.programs()
    for width, height in [(240, 200), (200, 240), (64, 64), (1, 1), (256, 256), (17, 1000)]:
        assert capacity(width * height) == 2**16
        image = np.zeros((height, width, 3), np.uint8)
        state, _ = inference.track(DETECTOR, POSE, state, to_frame(image), 0.0, settings=settings)
    assert inference.pipeline._track.programs() == before + 1


def test_capacities_are_few():
    sizes = {capacity(n) for n in range(1, 7680 * 4320, 9973)}
    assert len(sizes) <= 19
    assert all(capacity(n) >= n for n in (1, 65536, 65537, 98305, 640 * 480, 1920 * 1080))


def test_estimate_looks_where_it_is_told():
    from blazepose_jax.structs import ROI

    image = blob_image(240, 200, (60, 60), (180, 150))
    roi = ROI(jnp.array([[60.0, 60], [180, 150]]), jnp.array([80.0, 80]), jnp.zeros(2))
    poses = inference.estimate(POSE, to_frame(image), roi)
    assert isinstance(poses, Poses)
    np.testing.assert_allclose(poses.keypoints[:, 0, :2], [[60, 60], [180, 150]], atol=1)


def test_rotated_video_gives_rotated_points():
    # The disc's circle tip is above it in the crop, whatever the rotation of the ROI: turned by the
    # association.
    image = blob_image(240, 240, (120, 60))
    _, (poses,) = follow([image])
    turned = np.rot90(image, 2)
    _, (other,) = follow([np.ascontiguousarray(turned)])
    np.testing.assert_allclose(other.keypoints[0, 0, :2], [119 - 0, 179], atol=1.5)
    np.testing.assert_allclose(poses.keypoints[0, 0, :2], [120, 60], atol=1)


@pytest.mark.parametrize("decode", ["refine", "regression"])
def test_flip_averaging_keeps_a_symmetric_answer(decode):
    _, (plain,) = follow(
        [blob_image(240, 200, (100, 90))], Settings(smoothing=False, decode=decode)
    )
    _, (flipped,) = follow(
        [blob_image(240, 200, (100, 90))], Settings(smoothing=False, decode=decode, flip=True)
    )
    np.testing.assert_allclose(flipped.keypoints[0, 0, :2], plain.keypoints[0, 0, :2], atol=0.3)


def test_a_frame_begins_where_xla_takes_it_without_a_copy():
    for size in ((48, 64), (720, 1280)):
        pixels = to_frame(np.ones((*size, 3), np.uint8)).pixels
        assert pixels.ctypes.data % ALIGNMENT == 0
        assert pixels.flags.c_contiguous
        assert pixels.shape == (capacity(size[0] * size[1]), 3)
        assert pixels.sum() == 3 * size[0] * size[1]
    shared = jax.device_put(pixels, jax.devices("cpu")[0])
    assert shared.unsafe_buffer_pointer() == pixels.ctypes.data


def test_another_resolution_of_the_same_scene_loses_nobody():
    settings = Settings(max_people=2)
    places = [(60 + 3 * i, 100 + i) for i in range(8)]
    small = [blob_image(240, 200, place) for place in places]
    large = [np.repeat(np.repeat(image, 2, 0), 2, 1) for image in small]
    mixed = [*small[:3], *large[3:6], *small[6:]]
    (_, expected), (state, seen) = follow(small, settings), follow(mixed, settings)
    assert [int(p.ids[0]) for p in seen] == [0] * 8
    for i, (poses, one) in enumerate(zip(seen, expected, strict=True)):
        scale = 2 if 3 <= i < 6 else 1
        np.testing.assert_allclose(
            poses.keypoints[0, :, :2], scale * one.keypoints[0, :, :2], atol=1.5 * scale
        )
    np.testing.assert_array_equal(state.size, [240, 200])


def test_a_frame_of_another_shape_is_another_scene():
    state, _ = follow(moving(2))
    for size, ratio in (([480, 400], 2.0), ([479, 401], 2.0), ([480, 200], 1.0), ([240, 200], 1.0)):
        after = resized(state, np.array(size))
        np.testing.assert_allclose(after.roi.side, ratio * state.roi.side, rtol=0.01)
        np.testing.assert_allclose(after.keypoints.raw, ratio * state.keypoints.raw, rtol=0.01)
        np.testing.assert_array_equal(after.keypoints.speed, state.keypoints.speed)
        np.testing.assert_array_equal(after.size, size)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"max_people": 2.0}, "max_people is 2.0: it must be a whole number"),
        ({"max_people": 0}, "max_people is 0"),
        ({"filters": None}, "filters is None: give a SmoothingConfig"),
        ({"nms_threshold": None}, "nms_threshold is None: it must lie between 0 and 1"),
        ({"min_presence_confidence": "0.5"}, "must lie between 0 and 1"),
        ({"search": "quik"}, "unknown search 'quik'"),
        ({"decode": "peak"}, "unknown decode 'peak'"),
    ],
)
def test_settings_are_checked_where_they_are_made(words, message):
    with pytest.raises(BlazePoseError, match=message):
        Settings(**words)


def test_documented_calls_work_with_64_bits():
    """The types of the state stay, so that a scan is possible, and those of the poses."""
    with jax.enable_x64(True):
        state = inference.initial_state(BLAZEPOSE)
        image = blob_image(240, 200, (60, 100))
        after, poses = inference.track(DETECTOR, POSE, state, image, 1 / 30, settings=ONE)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert poses.keypoints.dtype == np.float32
    assert poses.present[0]
