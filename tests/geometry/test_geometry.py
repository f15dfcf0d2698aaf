import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blazepose_jax.geometry import boxes, nms, rois, warp
from blazepose_jax.io.frames import to_frame
from blazepose_jax.skeleton import BLAZEPOSE, COCO, Skeleton
from blazepose_jax.structs import ROI, Frame

RNG = np.random.default_rng(0)


def roi(cx, cy, side, angle):
    return ROI(jnp.array([cx, cy], jnp.float32), jnp.float32(side), jnp.float32(angle))


def test_iou_of_known_boxes():
    a = jnp.array([0.0, 0, 2, 2])
    b = jnp.array([[1.0, 1, 3, 3], [5, 5, 6, 6], [0, 0, 2, 2], [1, 1, 1, 1]])
    np.testing.assert_allclose(boxes.iou(a, b), [1 / 7, 0, 1, 0], rtol=1e-6)
    assert boxes.iou(jnp.zeros(4), jnp.zeros(4)) == 0


@pytest.mark.parametrize(
    ("tip", "degrees"), [((0, -10), 0), ((10, 0), 90), ((-10, 0), -90), ((7, -7), 45)]
)
def test_alignment_points_up_after_the_rotation(tip, degrees):
    center = jnp.array([50.0, 60.0])
    found = rois.from_alignment(center, center + jnp.array(tip, jnp.float32))
    np.testing.assert_allclose(np.degrees(found.angle), degrees, atol=1e-4)
    np.testing.assert_allclose(found.side, 2 * 1.25 * np.hypot(*tip), rtol=1e-6)
    # In the crop, the tip is straight above the centre.
    tip_crop = rois.image_to_crop((center + jnp.array(tip, jnp.float32))[None], found)
    np.testing.assert_allclose(tip_crop, [[0.5, 0.5 - 0.4]], atol=1e-6)


def test_frames_round_trip():
    square = roi(40, 30, 80, 0.7)
    points = jnp.asarray(RNG.uniform(-50, 150, (9, 2)), jnp.float32)
    np.testing.assert_allclose(
        rois.crop_to_image(rois.image_to_crop(points, square), square), points, atol=1e-4
    )


def test_affine_is_the_same_map_as_crop_to_image():
    square = roi(40, 30, 80, -1.1)
    pixels = jnp.asarray(RNG.uniform(0, 64, (9, 2)), jnp.float32)
    affine = rois.to_affine(square, 64)
    expected = rois.crop_to_image(pixels / 64, square)
    np.testing.assert_allclose(pixels @ affine[:, :2].T + affine[:, 2], expected, atol=1e-4)


def test_roi_from_auxiliary_points_and_from_body_points():
    points = (
        jnp.asarray(RNG.uniform(0, 100, (39, 2)), jnp.float32).at[33].set(jnp.array([50, 50.0]))
    )
    points = points.at[34].set(jnp.array([50, 10.0]))
    assert rois.from_keypoints(points, BLAZEPOSE).side == pytest.approx(100)
    body = jnp.full((17, 2), 50.0).at[jnp.array(COCO.indices(COCO.up)), 1].set(30.0)
    body = body.at[COCO.keypoints.index("left_ankle"), 1].set(90.0)
    found = rois.from_keypoints(body, COCO)
    np.testing.assert_allclose(
        [*found.center, found.side, found.angle], [50, 50, 2 * 1.25 * 40, 0], atol=1e-4
    )


def reference_warp(image, affine, side, zero):
    """OpenCV's warpPerspective on 8 bits, pixel by pixel: 1/32 px coordinates, rounded result."""
    height, width, _ = image.shape
    out = np.zeros((side, side, 3))
    for j in range(side):
        for i in range(side):
            x, y = (np.round((affine[:, :2] @ [i, j] + affine[:, 2]) * 32)).astype(int)
            ix, fx, iy, fy = x >> 5, (x & 31) / 32, y >> 5, (y & 31) / 32
            for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
                weight = (fx if dx else 1 - fx) * (fy if dy else 1 - fy)
                xx, yy = np.clip(ix + dx, 0, width - 1), np.clip(iy + dy, 0, height - 1)
                if not zero or (xx == ix + dx and yy == iy + dy):
                    out[j, i] += weight * image[yy, xx]
    return np.floor(out + 0.5)


def test_a_set_that_says_nothing_of_itself_gets_the_square_round_its_points():
    paw = Skeleton("paw", ("a", "b", "c"), (), (), (), roi="box")
    points = jnp.array([[[10.0, 20.0], [50.0, 30.0], [20.0, 25.0]]])
    found = rois.from_keypoints(points, paw)
    np.testing.assert_allclose(found.center, [[30.0, 25.0]])
    np.testing.assert_allclose(found.side, [1.25 * 40])
    np.testing.assert_allclose(found.angle, [0.0])


@pytest.mark.parametrize("border", ["zero", "replicate"])
def test_crop_is_opencvs_warp(border):
    image = RNG.integers(0, 256, (37, 53, 3), np.uint8)
    affine = np.asarray(rois.to_affine(roi(30.3, 12.1, 50, 0.4), 24), np.float64)
    found = warp.crop(to_frame(image), jnp.asarray(affine, jnp.float32), 24, border=border)
    expected = reference_warp(image, affine, 24, border == "zero")
    # A coordinate that falls on the edge between two 1/32 steps may go either way in float32.
    assert (np.asarray(found) != expected).mean() < 0.01
    assert np.abs(np.asarray(found) - expected).max() <= 10


def reference_bilinear(pixels, affine, side, zero):
    """A bilinear crop in float64, pixel by pixel, without any rounding."""
    height, width, _ = pixels.shape
    out = np.zeros((side, side, 3))
    for j in range(side):
        for i in range(side):
            x, y = affine[:, :2] @ [i, j] + affine[:, 2]
            ix, iy = int(np.floor(x)), int(np.floor(y))
            for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
                weight = (1 - abs(x - ix - dx)) * (1 - abs(y - iy - dy))
                xx, yy = np.clip(ix + dx, 0, width - 1), np.clip(iy + dy, 0, height - 1)
                if not zero or (xx == ix + dx and yy == iy + dy):
                    out[j, i] += weight * pixels[yy, xx]
    return out


def finite_differences(function, at, step=1e-6):
    """The gradient of a function of a float64 array, by central differences."""
    found = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        move = np.zeros(at.shape)
        move[index] = step
        found[index] = (function(at + move) - function(at - move)) / (2 * step)
    return found


@pytest.mark.parametrize("border", ["zero", "replicate"])
def test_a_crop_without_rounding_is_bilinear_and_has_its_gradients(border):
    height, width, side = 5, 6, 6
    pixels = RNG.uniform(0, 255, (height, width, 3)).astype(np.float32)
    # Partly outside of the image; no crop pixel lies on a row or column, where there is a kink.
    affine = np.asarray(rois.to_affine(roi(2.87, 1.71, 7.3, 0.41), side))
    weights = RNG.normal(size=(side, side, 3))
    frame = Frame(pixels.reshape(-1, 3), np.array([width, height], np.int32))

    def value(flat, affine):
        image = frame.replace(pixels=flat)
        return (warp.crop(image, affine, side, border=border, rounding=False) * weights).sum()

    def reference(pixels, affine):
        return (reference_bilinear(pixels, affine, side, border == "zero") * weights).sum()

    np.testing.assert_allclose(
        warp.crop(frame, affine, side, border=border, rounding=False),
        reference_bilinear(pixels, affine, side, border == "zero"),
        atol=2e-3,
    )
    by_pixels, by_affine = jax.grad(value, (0, 1))(jnp.asarray(frame.pixels), jnp.asarray(affine))
    pixels, affine = pixels.astype(np.float64), affine.astype(np.float64)
    expected = finite_differences(lambda p: reference(p, affine), pixels)
    np.testing.assert_allclose(by_pixels, expected.reshape(-1, 3), atol=1e-4)
    expected = finite_differences(lambda a: reference(pixels, a), affine)
    np.testing.assert_allclose(by_affine, expected, rtol=1e-3, atol=1e-2)
    assert np.abs(expected).min() > 1


def test_a_rounded_crop_is_the_default_and_has_no_gradient():
    image = RNG.integers(0, 256, (37, 53, 3), np.uint8)
    frame, affine = to_frame(image), rois.to_affine(roi(30.3, 12.1, 50, 0.4), 24)
    found = warp.crop(frame, affine, 24, border="zero")
    np.testing.assert_array_equal(found, np.round(found))
    true = warp.crop(frame, affine, 24, border="zero", rounding=False)
    # Half a grey level, and 1/64 px in x and in y of at most 255 grey levels each.
    assert 0 < np.abs(found - true).max() <= 0.5 + 2 * 255 / 64
    gradient = jax.grad(lambda a: warp.crop(frame, a, 24, border="zero").sum())(affine)
    assert not gradient.any()


def test_crop_survives_rois_far_outside_and_without_size():
    frame = to_frame(np.full((4, 4, 3), 9, np.uint8))
    for square in (roi(1e9, -1e9, 10, 0), roi(2, 2, 0, 0), roi(2, 2, 1e9, 0)):
        found = np.asarray(warp.crop(frame, rois.to_affine(square, 8), 8, border="replicate"))
        assert (found == 9).all()


def test_pasted_mask_lies_where_the_crop_was():
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 255
    frame = to_frame(image)
    square = roi(40, 30, 50, 0.5)
    mask = warp.crop(frame, rois.to_affine(square, 128), 128, border="zero")[..., 0] / 255
    back = np.asarray(warp.paste_mask(mask, square, frame))[: 60 * 80].reshape(60, 80)
    assert ((back > 0.5) == (image[..., 0] > 0)).mean() > 0.99
    assert back[0, 0] == 0


def reference_nms(box, values, scores, threshold):
    """mediapipe's WEIGHTED non-max suppression, as a loop over sorted candidates."""
    left = [i for i in np.argsort(-scores, kind="stable") if scores[i] > 0]
    out = []
    while left:
        top = left[0]
        members = [i for i in left if i == top or float(boxes.iou(box[top], box[i])) > threshold]
        out.append((np.average(values[members], axis=0, weights=scores[members]), scores[top]))
        left = [i for i in left if i not in members]
    return out


def test_weighted_nms_is_mediapipes():
    corners = RNG.uniform(0, 10, (40, 2))
    box = np.concatenate([corners, corners + RNG.uniform(2, 6, (40, 2))], -1).astype(np.float32)
    values = RNG.normal(size=(40, 5)).astype(np.float32)
    scores = np.where(RNG.uniform(size=40) < 0.7, RNG.uniform(0.5, 1, 40), 0).astype(np.float32)
    expected = reference_nms(jnp.asarray(box), values, scores, 0.3)
    means, best = jax.jit(nms.weighted_nms, static_argnums=3)(box, values, scores, 30, 0.3)
    assert (np.asarray(best) > 0).sum() == len(expected)
    for i, (value, score) in enumerate(expected):
        np.testing.assert_allclose(means[i], value, atol=1e-5)
        np.testing.assert_allclose(best[i], score)


def test_keep_first_keeps_the_earlier_of_two():
    box = jnp.array([[0.0, 0, 4, 4], [0, 0, 4, 4], [9, 9, 12, 12], [0, 0, 4, 3.9]])
    found = nms.keep_first(box, jnp.array([False, True, True, True]), 0.5)
    np.testing.assert_array_equal(found, [False, True, True, False])
