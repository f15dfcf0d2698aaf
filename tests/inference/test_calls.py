"""What the functions and engines of inference take, and what they refuse."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import blob_image, blob_networks
from PIL import Image

import blazepose_jax as bp
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference import find_people
from blazepose_jax.inference.batch import initial_states, track_batch
from blazepose_jax.inference.jax_engine import JaxEngine
from blazepose_jax.inference.litert_engine import LiteRTEngine
from blazepose_jax.skeleton import COCO
from blazepose_jax.structs import Network

DETECTOR, POSE = blob_networks()
PICTURE = blob_image(240, 200, (60, 60), (180, 150))
SQUARES = bp.ROI(jnp.array([[60.0, 60], [180, 150]]), jnp.array([80.0, 80]), jnp.zeros(2))


def state():
    return bp.initial_state(bp.BLAZEPOSE)


def same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_pictures_are_taken_as_frames_are():
    frame = bp.to_frame(PICTURE)
    same(bp.detect(DETECTOR, PICTURE), bp.detect(DETECTOR, frame))
    same(bp.estimate(POSE, PICTURE, SQUARES), bp.estimate(POSE, frame, SQUARES))
    same(
        bp.track(DETECTOR, POSE, state(), PICTURE, 0.0),
        bp.track(DETECTOR, POSE, state(), frame, 0.0),
    )
    # A device's array, a grey one, and one with alpha.
    for picture in (jnp.asarray(PICTURE), PICTURE[..., 0], np.dstack([PICTURE, PICTURE[..., :1]])):
        same(bp.detect(DETECTOR, picture), bp.detect(DETECTOR, frame))


def on_the_host(network):
    """The network as LiteRT's are: what calls it knows no parameters."""
    return Network(
        None,
        lambda _, images: jax.tree.map(np.asarray, network(jnp.asarray(images))),
        network.side,
        network.mean,
        network.std,
        network.skeleton,
        network.fields,
    )


@pytest.mark.parametrize("engine", [JaxEngine, LiteRTEngine])
def test_engines_take_pictures(engine):
    nets = (DETECTOR, POSE) if engine is JaxEngine else (on_the_host(DETECTOR), on_the_host(POSE))
    engine = engine(*nets, bp.Settings(), "blobs")
    frame = bp.to_frame(PICTURE)
    same(engine.detect(PICTURE), engine.detect(frame))
    same(engine.estimate(PICTURE, SQUARES), engine.estimate(frame, SQUARES))
    same(engine.step(state(), PICTURE, 0.0), engine.step(state(), frame, 0.0))
    with pytest.raises(BlazePoseError, match="an image has the shape"):
        engine.step(state(), PICTURE[0, 0], 0.0)
    with pytest.raises(BlazePoseError, match="roi has a center, side and angle of the shapes"):
        engine.estimate(PICTURE, jax.tree.map(lambda a: a[0], SQUARES))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (PICTURE.astype(np.float32), "an image has the type float32: convert it to uint8"),
        (PICTURE[0, 0], r"an image has the shape \(3,\): it must be \(H, W\)"),
        (PICTURE[None], r"an image has the shape \(1, 200, 240, 3\)"),
        ("photo.jpg", "an image is the name 'photo.jpg': read it first, by read_image"),
        (None, r"an image has the shape \(\)"),
        (bp.Frame(PICTURE, np.array([240, 200])), "a frame has pixels of the shape"),
        (bp.Frame(PICTURE.reshape(-1, 3), np.array(240)), "as to_frame makes them"),
    ],
)
def test_what_is_no_picture_is_refused(picture, message):
    with pytest.raises(BlazePoseError, match=message):
        bp.detect(DETECTOR, picture)
    with pytest.raises(BlazePoseError, match=message):
        bp.estimate(POSE, picture, SQUARES)
    with pytest.raises(BlazePoseError, match=message):
        bp.track(DETECTOR, POSE, state(), picture, 0.0)


def test_settings_by_position_are_refused_with_the_remedy():
    settings, frame = bp.Settings(), bp.to_frame(PICTURE)
    calls = {
        "track": (
            lambda: bp.track(DETECTOR, POSE, state(), frame, settings),
            lambda: bp.track(DETECTOR, POSE, state(), frame, 0.0, settings),
        ),
        "detect": (lambda: bp.detect(DETECTOR, frame, settings),),
        "estimate": (lambda: bp.estimate(POSE, frame, SQUARES, settings),),
    }
    for name, refused in calls.items():
        for call in refused:
            with pytest.raises(BlazePoseError, match=rf"name them, as in {name}\(..., settings="):
                call()


def test_frames_are_made_outside_of_jit():
    with pytest.raises(BlazePoseError, match="call to_frame outside and pass the Frame in"):
        jax.jit(bp.to_frame)(PICTURE)
    with pytest.raises(BlazePoseError, match="call to_frame outside and pass the Frame in"):
        jax.jit(lambda picture: bp.detect(DETECTOR, picture))(PICTURE)
    frame = bp.to_frame(PICTURE)
    same(jax.jit(lambda f: bp.detect(DETECTOR, f).valid)(frame), bp.detect(DETECTOR, frame).valid)


@pytest.mark.parametrize(
    "roi",
    [
        bp.ROI(jnp.zeros(2), jnp.ones(()), jnp.zeros(())),
        bp.ROI(jnp.zeros((2, 2)), jnp.ones(2), jnp.zeros(1)),
        bp.ROI(jnp.zeros((1, 3)), jnp.ones(1), jnp.zeros(1)),
    ],
)
def test_squares_of_another_shape_are_refused(roi):
    with pytest.raises(BlazePoseError, match=r"they must be \(N, 2\), \(N,\) and \(N,\)"):
        bp.estimate(POSE, PICTURE, roi)
    with pytest.raises(BlazePoseError, match=r"first has .* must be \(1, 2\), \(1,\) and \(1,\)"):
        bp.track(None, POSE, state(), PICTURE, 0.0, first=roi)


def test_a_missing_network_is_named():
    with pytest.raises(BlazePoseError, match="the weights hold no detector"):
        bp.detect(None, PICTURE)
    with pytest.raises(BlazePoseError, match="the weights hold no detector"):
        bp.track(None, POSE, state(), PICTURE, 0.0)
    for call in (
        lambda: bp.estimate(None, PICTURE, SQUARES),
        lambda: bp.track(DETECTOR, None, state(), PICTURE, 0.0),
        lambda: find_people(DETECTOR, None, PICTURE),
    ):
        with pytest.raises(BlazePoseError, match="the weights hold no pose net"):
            call()


def test_the_front_door_has_what_the_functions_take_and_give():
    for name in ("ROI", "Poses", "Frame", "draw_poses", "Settings"):
        assert name in bp.__all__
        assert inspect.getdoc(getattr(bp, name))
    assert list(inspect.signature(bp.track).parameters)[-2:] == ["settings", "first"]


def test_poses_of_estimate_can_be_drawn_as_they_are():
    poses = bp.estimate(POSE, PICTURE, SQUARES)
    drawn = bp.draw_poses(PICTURE, poses, bp.BLAZEPOSE, min_visibility=0.0)
    changed = (drawn != PICTURE).any(-1)
    assert changed[55:66, 55:66].any()
    assert changed[145:156, 175:186].any()
    assert not changed[:20].any()
    with pytest.raises(BlazePoseError, match="33 keypoints and the skeleton 'coco' has 17"):
        bp.draw_poses(PICTURE, poses, bp.skeleton.COCO)
    with pytest.raises(BlazePoseError, match="convert it to uint8"):
        bp.draw_poses(PICTURE / 255, poses, bp.BLAZEPOSE)


def test_squares_of_lists_and_states_of_other_points_are_refused():
    with pytest.raises(BlazePoseError, match="that is no array: make them by"):
        bp.estimate(POSE, PICTURE, bp.ROI([[60.0, 60.0]], [80.0], [0.0]))
    other = bp.initial_state(COCO)
    with pytest.raises(BlazePoseError, match="the state is of 17 keypoints and the pose net of 33"):
        bp.track(DETECTOR, POSE, other, PICTURE, 0.0)


def test_a_state_has_the_slots_that_the_settings_ask_for():
    three = bp.Settings(max_people=3)
    said = "slots for 1 people and max_people of the settings is 3: begin with initial_state"
    with pytest.raises(BlazePoseError, match=said):
        bp.track(DETECTOR, POSE, state(), PICTURE, 0.0, settings=three)
    with pytest.raises(BlazePoseError, match="slots for 3 people and max_people of the sett"):
        jax.jit(lambda s: bp.track(DETECTOR, POSE, s, PICTURE, 0.0))(
            bp.initial_state(bp.BLAZEPOSE, 3)
        )
    frames = bp.Frame(np.zeros((2, 2**16, 3), np.uint8), np.full((2, 2), 9, np.int32))
    rows = (frames, np.zeros(2, np.float32), np.ones(2, bool), np.ones(2, bool))
    states = initial_states(bp.BLAZEPOSE, 2)
    with pytest.raises(BlazePoseError, match=said):
        track_batch(DETECTOR, POSE, states, *rows, searched=2, settings=three, batched=False)
    # An engine that searches for many looks into one square at the cost of one.
    engine = JaxEngine(DETECTOR, POSE, three, "blobs")
    one = jax.tree.map(lambda a: a[:1], SQUARES)
    assert engine.step(state(), PICTURE, 0.0, first=one)[1].present.tolist() == [True]


def test_int8_is_refused_where_jax_would_compute_otherwise():
    with pytest.raises(BlazePoseError, match="precision int8 is of the runtime litert"):
        bp.estimate(POSE, PICTURE, SQUARES, settings=bp.Settings(precision="int8"))


def test_pil_images_of_palettes_are_refused():
    image = Image.fromarray(PICTURE)
    same(bp.detect(DETECTOR, image), bp.detect(DETECTOR, PICTURE))
    with pytest.raises(BlazePoseError, match="has the mode 'P': convert it to RGB"):
        bp.detect(DETECTOR, image.convert("P"))


def test_pil_images_of_16_bits_are_taken_and_of_no_range_refused():
    grey = PICTURE[..., 0].astype(np.uint16) * 257
    expected = bp.to_frame(PICTURE[..., 0])
    same(bp.to_frame(Image.fromarray(grey)), expected)
    size = grey.shape[::-1]
    same(bp.to_frame(Image.frombytes("I;16B", size, grey.astype(">u2").tobytes())), expected)
    for mode in ("I", "F"):  # of which PIL's convert makes black and white
        with pytest.raises(BlazePoseError, match=f"has the mode '{mode}': read its file by"):
            bp.to_frame(Image.fromarray(PICTURE[..., 0]).convert(mode))
