import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blazepose_jax.codecs import anchors, heatmaps, landmarks, soft_argmax
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.structs import DetectorOutputs, PoseOutputs

FIELDS = ("x", "y", "z", "visibility", "presence")
# Compiled as wholes, which is quicker than one operation after the other.
peaks_of, refine, soft_argmax_of = map(
    jax.jit, (heatmaps.decode, heatmaps.refine, soft_argmax.decode)
)
decode_landmarks = jax.jit(landmarks.decode, static_argnums=range(1, 6))
decode_anchors = jax.jit(anchors.decode, static_argnums=1, static_argnames="count")


def logits(probability):
    return jnp.log(probability + 1e-6) - jnp.log(1 - probability + 1e-6)


@pytest.mark.parametrize(("side", "count"), [(224, 2254), (128, 896)])
def test_anchor_counts_and_order(side, count):
    centers = anchors.anchor_centers(side)
    cells, per_cell = anchors.LAYOUTS[side][0]
    assert centers.shape == (count, 2)
    np.testing.assert_allclose(centers[0], [0.5 / cells] * 2)
    np.testing.assert_allclose(centers[per_cell], [1.5 / cells, 0.5 / cells])  # x runs fastest


def test_unknown_anchor_layout():
    with pytest.raises(BlazePoseError, match=r"256 px.*\[128, 224\]"):
        anchors.anchor_centers(256)


def test_detections_round_trip_through_every_anchor():
    box = jnp.array([0.3, 0.2, 0.5, 0.4])
    points = jnp.array([[0.4, 0.6], [0.4, 0.1], [0.4, 0.45], [0.4, 0.2]])
    raw = anchors.encode(box, points, 224)
    for chosen in (0, 1000, 2253):
        score = jnp.full((1, 2254, 1), -20.0).at[0, chosen, 0].set(3.0)
        found = decode_anchors(
            DetectorOutputs(raw[None], score), 224, count=2, min_score=0.5, nms_threshold=0.3
        )
        np.testing.assert_array_equal(found.valid, [True, False])
        np.testing.assert_allclose(found.boxes_xyxy[0], box, atol=1e-5)
        np.testing.assert_allclose(found.keypoints[0], points, atol=1e-5)
        np.testing.assert_allclose(found.scores[0], jax.nn.sigmoid(3.0), atol=1e-6)


def test_boxes_of_negative_size_are_no_candidates():
    raw = jnp.zeros((1, 2254, 12)).at[:, :, 2].set(-5.0)
    found = decode_anchors(
        DetectorOutputs(raw, jnp.full((1, 2254, 1), 9.0)),
        224,
        count=1,
        min_score=0.5,
        nms_threshold=0.3,
    )
    assert not found.valid.any()


def test_heatmap_round_trip_by_peak_and_by_refinement():
    points = jnp.array([[0.31, 0.62], [0.5, 0.5], [0.777, 0.12]])
    maps = logits(heatmaps.encode(points, 64, 1.5))
    np.testing.assert_allclose(peaks_of(maps), points, atol=0.005)
    nearby = points + jnp.array([1.2, -0.9]) / 64
    np.testing.assert_allclose(refine(nearby, maps), points, atol=0.012)


def test_refinement_leaves_alone_what_it_must():
    points = jnp.array([[0.5, 0.5], [1.2, 0.5], [0.5, -0.01]])
    confident = jnp.full((64, 64, 3), 3.0)
    unsure = jnp.full((64, 64, 3), -0.1)
    np.testing.assert_array_equal(refine(points, unsure), points)
    moved = refine(points, confident)
    np.testing.assert_array_equal(moved[1], points[1])  # outside of the map
    # -0.01 * 64 truncates to row 0: inside, as in MediaPipe; the window is cut to rows 0 to 3
    np.testing.assert_allclose(moved[2], [0.5, 1.5 / 64], atol=1e-6)


def reference_refine(x, y, probabilities):
    """refine_landmarks_from_heatmap_calculator.cc for one keypoint."""
    rows, columns = probabilities.shape
    center_column, center_row = int(x * columns), int(y * rows)
    if not (0 <= center_column < columns and 0 <= center_row < rows):
        return x, y
    total = best = sum_x = sum_y = 0.0
    for row in range(max(0, center_row - 3), min(rows, center_row + 4)):
        for column in range(max(0, center_column - 3), min(columns, center_column + 4)):
            p = probabilities[row, column]
            total, best = total + p, max(best, p)
            sum_x, sum_y = sum_x + column * p, sum_y + row * p
    return (sum_x / columns / total, sum_y / rows / total) if best >= 0.5 and total > 0 else (x, y)


def test_refinement_is_mediapipes():
    rng = np.random.default_rng(3)
    points = rng.uniform(-0.2, 1.2, (50, 2)).astype(np.float32)
    maps = rng.normal(-2, 1.2, (64, 64, 50)).astype(np.float32)
    found = refine(jnp.asarray(points), jnp.asarray(maps))
    for k in range(50):
        expected = reference_refine(
            *points[k].astype(float), np.asarray(jax.nn.sigmoid(maps[:, :, k]), float)
        )
        np.testing.assert_allclose(found[k], expected, atol=1e-5)


def outputs(rows, heat=None):
    return PoseOutputs(jnp.asarray(rows, jnp.float32), jnp.zeros(1), heatmap=heat)


def test_the_decodes():
    rows = np.zeros((3, 5))
    rows[:, :2] = 128
    peaks = jnp.array([[0.52, 0.5], [0.1, 0.1], [0.1, 0.1]])
    heat = logits(heatmaps.encode(peaks, 64, 1.0))

    def decode(method):
        return np.asarray(
            decode_landmarks(outputs(rows, heat), FIELDS, 256, method, 2).points[:, 0]
        )

    np.testing.assert_allclose(decode("regression"), [0.5, 0.5, 0.5])
    np.testing.assert_allclose(decode("refine"), [0.52, 0.5, 0.5], atol=0.005)
    # The third row is auxiliary: it steers the tracker and never jumps to a far peak.
    np.testing.assert_allclose(decode("peaks"), [0.52, 0.1, 0.5], atol=0.005)
    # The mean of what lies near: a far peak does not count.
    np.testing.assert_allclose(decode("heatmap"), [0.52, 0.5, 0.5], atol=0.016)  # a cell
    np.testing.assert_array_equal(decode("video"), decode("heatmap"))
    np.testing.assert_array_equal(decode("stills"), decode("peaks"))


def test_the_best_decode_of_a_net_without_heatmaps_is_regression():
    rows = outputs(np.full((3, 5), 64.0))
    for name in landmarks.BEST:
        found = decode_landmarks(rows, FIELDS, 256, name, 3).points
        np.testing.assert_array_equal(found[:, :2], 0.25)


def test_what_a_graph_has_decoded_is_not_decoded_again():
    rows = np.full((3, 5), 128.0)
    heat = logits(heatmaps.encode(jnp.full((3, 2), 0.55), 64, 1.0))
    again, once = (
        np.asarray(decode_landmarks(outputs(rows, heat), FIELDS, 256, "heatmap", 3, held).points)
        for held in ("regression", "heatmap")
    )
    np.testing.assert_allclose(again[:, :2], 0.55, atol=0.016)
    np.testing.assert_array_equal(once[:, :2], 0.5)


def reference_soft_argmax(point, map_logits):
    """The formula, cell by cell, in float64."""
    grid = len(map_logits)
    pooled = map_logits.astype(np.float64).reshape(grid // 2, 2, grid // 2, 2).mean((1, 3))
    weights = (1 / (1 + np.exp(-pooled))) ** 4
    places = (2 * np.arange(grid // 2) + 0.5) / grid
    bump_x, bump_y = (
        np.maximum(1 - ((places - at) / soft_argmax.REACH) ** 2, 0) ** 2 for at in point
    )
    weights = weights * bump_x * bump_y[:, None]
    mean = np.array([(weights * places).sum(), (weights * places[:, None]).sum()])
    return (mean + soft_argmax.FLOOR * point) / (weights.sum() + soft_argmax.FLOOR)


def soft_argmax_maps():
    rng = np.random.default_rng(5)
    points = rng.uniform(-0.3, 1.3, (40, 2)).astype(np.float32)
    maps = rng.normal(-3, 1.5, (64, 64, 40)).astype(np.float32)
    maps += 8 * np.asarray(heatmaps.encode(points + rng.normal(0, 0.05, (40, 2)), 64, 2.0))
    return points, maps


def test_soft_argmax_is_its_formula():
    points, maps = soft_argmax_maps()
    found = soft_argmax_of(points, maps)
    for k in range(40):
        expected = reference_soft_argmax(points[k].astype(np.float64), maps[..., k])
        np.testing.assert_allclose(found[k], expected, atol=2e-5)


@pytest.mark.parametrize("grid", [16, 32, 64])
def test_soft_argmax_of_windows_is_that_of_the_whole_maps(grid):
    points, maps = soft_argmax_maps()
    maps = maps[:grid, :grid]
    x, y = (column[None, None, None] for column in points.T)
    steps = jnp.stack(soft_argmax.soft_argmax(x, y, maps[None]), -1)[0, 0, 0]
    np.testing.assert_allclose(soft_argmax_of(points, maps), points + steps, atol=2e-6)


@pytest.mark.parametrize("grid", [15, 25, 33])
def test_soft_argmax_near_the_border_of_a_map_of_odd_cells(grid):
    """The last window begins before the last cell that fits, as windows begin at even cells."""
    peaks = np.array([[grid - 4.0, grid / 2], [grid / 2, grid - 4.0]])
    rows, columns = np.mgrid[:grid, :grid]
    apart = (columns[..., None] - peaks[:, 0]) ** 2 + (rows[..., None] - peaks[:, 1]) ** 2
    maps = jnp.asarray(8 * np.exp(-apart / 4) - 4)
    found = soft_argmax_of(jnp.asarray(peaks / grid), maps) * grid
    assert np.linalg.norm(found - peaks, axis=-1).max() < 0.5


def test_soft_argmax_stays_where_the_map_says_nothing():
    points = jnp.array([[0.4, 0.6], [-0.1, 0.5], [1.6, 0.2]])
    silent = jnp.full((64, 64, 3), -4.0)  # 0.02
    np.testing.assert_allclose(soft_argmax_of(points, silent), points, atol=0.003)
    # Far outside not even a loud map is within reach.
    loud = jnp.full((64, 64, 3), 5.0)
    np.testing.assert_array_equal(soft_argmax_of(points, loud)[2], points[2])


def test_soft_argmax_has_gradients():
    points, maps = soft_argmax_maps()
    slopes_of = jax.jit(jax.grad(lambda p, m: soft_argmax_of(p, m).sum(), (0, 1)))
    slopes = slopes_of(points, maps)
    assert all(np.isfinite(slope).all() and np.any(slope) for slope in slopes)


def test_every_decode_is_described_in_a_line():
    assert list(landmarks.DECODES) == ["refine", "regression", "heatmap", "peaks"]
    assert all(text and "\n" not in text for text in landmarks.DECODES.values())


def test_decodes_of_heatmaps_need_a_heatmap():
    for decode in ("heatmap", "peaks"):
        with pytest.raises(BlazePoseError, match="use 'regression'"):
            landmarks.decode(outputs(np.zeros((3, 5))), FIELDS, 256, decode, 3)
    with pytest.raises(BlazePoseError, match="did you mean 'refine'"):
        landmarks.decode(outputs(np.zeros((3, 5))), FIELDS, 256, "refin", 3)


def test_fields_that_a_net_lacks():
    found = decode_landmarks(outputs(np.full((2, 2), 64.0)), ("x", "y"), 128, "refine", 2)
    np.testing.assert_allclose(found.points, [[0.5, 0.5, 0]] * 2)
    np.testing.assert_allclose(found.visibility, 1)


def test_mirroring_twice_is_nothing_and_averaging_a_symmetric_net_is_nothing():
    image = jax.random.uniform(jax.random.key(0), (1, 8, 8, 3)).at[:, :, 0].set(0.5)
    np.testing.assert_allclose(landmarks.mirror(landmarks.mirror(image))[:, :, 1:], image[:, :, 1:])
    points = jnp.array([[0.25, 0.5], [0.75, 0.4]])
    heat = logits(heatmaps.encode(points, 64, 1.5))[None]
    rows = jnp.zeros((1, 2, 5)).at[0, :, :2].set(points * 256)
    straight = PoseOutputs(rows, jnp.ones((1, 1)), heatmap=heat, world=jnp.ones((1, 2, 3)))
    flip = (1, 0)
    seen_mirrored = PoseOutputs(
        rows[:, ::-1].at[..., 0].set(256 - rows[:, ::-1, 0]),
        jnp.ones((1, 1)),
        heatmap=landmarks.mirror(heat)[..., ::-1],
        world=jnp.ones((1, 2, 3)) * jnp.array([-1.0, 1, 1]),
    )
    average = jax.jit(landmarks.average_mirrored, static_argnums=(2, 3, 4))
    found = average(straight, seen_mirrored, flip, FIELDS, 256)
    np.testing.assert_allclose(found.landmarks, rows, atol=1e-4)
    np.testing.assert_allclose(found.world, 1)
    np.testing.assert_allclose(peaks_of(found.heatmap[0]), points, atol=0.005)
