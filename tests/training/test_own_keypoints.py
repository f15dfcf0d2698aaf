"""Own keypoint sets in training: rows and teachers by keypoint, ROI points, the best weights."""

import dataclasses
import json
import random

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import random_variables, record, shared

from blazepose_jax import training
from blazepose_jax.cli.main import main
from blazepose_jax.data.rendered import Rendered
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.models import ALL_HEADS, FIELDS, FOLDED, LayerConfig, create_model
from blazepose_jax.skeleton import BLAZEPOSE, ROI_POINTS, Skeleton
from blazepose_jax.training.best import Best
from blazepose_jax.training.config import configure
from blazepose_jax.training.initialise import Start, begin, start_from, write_start
from blazepose_jax.training.row_rates import scale_rows
from blazepose_jax.training.tasks import PoseTask
from blazepose_jax.training.teacher import load_teacher
from blazepose_jax.weights import StoredNetwork, import_weights, read_stored, save_weights
from blazepose_jax.weights.rows import row_sources

SIDES = {"left": ("L", "left", "Left", "l"), "right": ("R", "right", "Right", "r")}
JOINTS = ("shoulder", "elbow", "wrist", "hip")


def renamed(seed, extra=()):
    """Eight joints in a drawn order and a drawn spelling; {own name: BlazePose's}."""
    rng = random.Random(seed)
    way = rng.choice(["{0}_{1}", "{1}.{0}", "{1}-{0}", "{0} {1}"])
    pick = rng.randrange(4)
    names = {
        way.format(SIDES[side][pick], rng.choice((str.lower, str.title))(joint)): f"{side}_{joint}"
        for joint in JOINTS
        for side in ("left", "right")
    }
    order = [*names, *extra]
    rng.shuffle(order)
    own = {body: name for name, body in names.items()}
    return Skeleton(
        "own",
        tuple(order),
        (),
        (own["left_hip"], own["right_hip"]),
        (own["left_shoulder"], own["right_shoulder"]),
    )


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_found_whatever_spelling_and_order(seed):
    own = renamed(seed, ("chest", "tail")).with_roi_points()
    sources = row_sources(BLAZEPOSE, own)
    rows = BLAZEPOSE.keypoints + BLAZEPOSE.auxiliary
    for source, body in zip(sources, own.body_names, strict=False):
        if body:
            assert source.known
            assert [rows[row] for row in source.rows] == [body]
    by_name = {source.name: source for source in sources}
    assert [rows[row] for row in by_name["chest"].rows] == [
        "left_shoulder",
        "right_shoulder",
        "left_hip",
        "right_hip",
    ]
    assert by_name["tail"].rows == ()
    assert [by_name[name].rows for name in ROI_POINTS] == [(33,), (34,)]
    # And back: an own net's rows for the 33.
    back = {source.name: source for source in row_sources(own, BLAZEPOSE)}
    for i, body in enumerate(own.body_names):
        assert not body or back[body].rows == (i,)


def test_a_point_that_says_it_is_none_is_none():
    own = dataclasses.replace(renamed(0), like=((renamed(0).keypoints[0], ""),))
    assert not row_sources(BLAZEPOSE, own)[0].known


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lite") / "w"
    import_weights([shared("models", "pose_landmark_lite.tflite")], folder)
    return folder


def test_known_points_are_the_released_nets_before_the_first_step(lite, astronaut):
    """To 1e-3 px, unfolded and in other rows; a new point lies between those it is near."""
    own = renamed(3, ("chest",)).with_roi_points()
    crops = (
        jnp.stack([jnp.asarray(astronaut[:256, 100:356]), jnp.asarray(astronaut[100:356, 60:316])])
        / 255.0
    )
    model = create_model(
        "lite", LayerConfig(frozen=True), keypoints=len(own.keypoints) + 2, heads=ALL_HEADS
    )
    fresh = random_variables(model, jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32))
    started = start_from(str(lite), "pose", fresh, "lite", "frozen", [crops], skeleton=own)
    stored = read_stored(lite)["pose"].variables
    released = create_model("lite", FOLDED)
    before = jax.jit(lambda v, x: released.apply(v, x, train=False))(stored, crops)
    after = jax.jit(lambda v, x: model.apply(v, x, train=False))(started, crops)
    sources = row_sources(BLAZEPOSE, own)
    known = [(i, s.rows[0]) for i, s in enumerate(sources) if s.known]
    assert len(known) == 8 + 2
    here, there = (np.array(side) for side in zip(*known, strict=True))
    np.testing.assert_allclose(after.landmarks[:, here], before.landmarks[:, there], atol=1e-3)
    np.testing.assert_allclose(after.presence, before.presence, rtol=1e-4)
    np.testing.assert_allclose(
        after.heatmap[..., here], before.heatmap[..., there], rtol=1e-3, atol=2e-2
    )
    np.testing.assert_allclose(after.world[:, here], before.world[:, there], atol=1e-4)
    chest = own.keypoints.index("chest")
    trunk = before.landmarks[:, np.array([11, 12, 23, 24]), :2].mean(1)
    np.testing.assert_allclose(after.landmarks[:, chest, :2], trunk, atol=1e-2)


def test_roi_points_that_only_the_teacher_brings_are_new_rows():
    """The start has none, so that nothing is known of where to look next."""
    net = BLAZEPOSE.with_roi_points()
    none, all_roi = np.zeros(33 + len(net.auxiliary), bool), [33, 34]
    assert Start("w", has_roi_points=True).fresh_in(net).tolist() == none.tolist()
    assert Start().fresh_in(net).tolist() == none.tolist()
    assert np.flatnonzero(Start("w").fresh_in(net)).tolist() == all_roi
    assert np.flatnonzero(Start("w", fresh_rows=("nose",)).fresh_in(net)).tolist() == [0, *all_roi]
    alone = dataclasses.replace(net, auxiliary=())
    assert not Start("w").fresh_in(alone).any()


def test_rows_of_new_points_learn_faster():
    fresh = np.array([False, True, False])
    heads = {
        "landmarks": {"kernel": jnp.ones((2, 2, 4, 6)), "bias": jnp.ones(6)},
        "heatmap": {"bias": jnp.ones(3)},
        "presence": {"bias": jnp.ones(1)},
    }
    updates = {"heads": heads, "backbone": {"kernel": jnp.ones((1, 1, 3, 3))}}
    scaled, _ = scale_rows(fresh, (("landmarks", 50.0), ("heatmap", 10.0))).update(
        updates, optax.EmptyState()
    )
    np.testing.assert_array_equal(scaled["heads"]["landmarks"]["bias"], [1, 1, 50, 50, 1, 1])
    np.testing.assert_array_equal(
        scaled["heads"]["landmarks"]["kernel"][0, 0, 0], [1, 1, 50, 50, 1, 1]
    )
    np.testing.assert_array_equal(scaled["heads"]["heatmap"]["bias"], [1, 10, 1])
    np.testing.assert_array_equal(scaled["heads"]["presence"]["bias"], [1])
    np.testing.assert_array_equal(scaled["backbone"]["kernel"], 1)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A small pose net of the 33 points, as a weights directory."""
    folder = tmp_path_factory.mktemp("smoke") / "w"
    arguments = {"keypoints": 39, "side": 128, "fields": FIELDS, "heads": ("mask", "heatmap")}
    model = create_model("smoke", FOLDED, **arguments)
    variables = random_variables(model, jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32))
    net = StoredNetwork("smoke", "folded", variables, arguments, "drawn", "Apache-2.0", BLAZEPOSE)
    save_weights(folder, {"pose": net})
    return folder


def test_a_teacher_answers_in_the_students_rows(smoke):
    own = renamed(4, ("tail",))
    teacher = load_teacher(training.TeacherConfig(weights=str(smoke)), own, FIELDS)
    assert teacher is not None
    assert teacher.knows_roi
    images = jax.random.uniform(jax.random.key(0), (2, 128, 128, 3)) * 255
    whole, seen = jax.jit(
        lambda x: (teacher.network(teacher.network.normalise(x)), teacher.look(x))
    )(images)
    assert seen.landmarks.shape == (2, 9 + 2, 5)
    for i, body in enumerate(own.body_names):
        row = BLAZEPOSE.keypoints.index(body) if body else None
        assert teacher.taught[i] == (row is not None)
        if row is not None:
            np.testing.assert_array_equal(seen.landmarks[:, i], whole.landmarks[:, row])
            np.testing.assert_array_equal(seen.heatmap[..., i], whole.heatmap[..., row])
    np.testing.assert_array_equal(seen.landmarks[:, 9:], whole.landmarks[:, 33:35])


def test_a_set_that_shares_nothing_has_no_teacher(smoke, capsys):
    paw = Skeleton("paw", ("heelpad", "claw"), (), ("heelpad",), ("claw",))
    assert load_teacher(training.TeacherConfig(weights=str(smoke)), paw, FIELDS) is None
    assert "knows none of the points" in capsys.readouterr().out


def test_roi_points_are_labelled_only_where_nobody_teaches_them():
    own = renamed(0).with_roi_points()
    rows = np.array([BLAZEPOSE.keypoints.index(body) for body in own.body_names])
    one = record()
    one = one.replace(keypoints=one.keypoints[rows], visibility_flags=one.visibility_flags[rows])
    for label_roi in (True, False):
        targets = training.sample_targets(
            jax.random.key(0), one, own, 128, training.NO_AUGMENTATION, label_roi=label_roi
        )
        assert targets.labelled[8:].tolist() == [label_roi] * 2


def test_the_best_weights_are_remembered(tmp_path):
    best = Best(tmp_path)
    assert best.beaten(0, 60.0)
    best.keep(0, 60.0)
    assert not best.beaten(5, 59.0)
    assert "no step found more" in best.describe(10)
    assert best.beaten(10, 61.5)
    best.keep(10, 61.5)
    again = Best(tmp_path)
    assert (again.step, again.score, again.start) == (10, 61.5, 60.0)
    assert not again.beaten(15, 61.0)
    # A validation that an interruption left behind is done again.
    assert again.beaten(10, 61.0)
    assert again.describe(20) == "kept the weights of step 10 of 20: 61.5, 60.0 at the start"
    (tmp_path / "best.json").write_text("{}")
    with pytest.raises(BlazePoseError, match="is damaged"):
        Best(tmp_path)


def test_a_start_outlives_the_command(tmp_path, smoke):
    own = renamed(1, ("tail",))
    start = begin(tmp_path, str(smoke), "pose", own)
    assert start == Start(str(smoke), "drawn", "Apache-2.0", ("tail",), True)
    # Kept once it is known to fit.
    assert begin(tmp_path, None, "pose", own) == Start()
    write_start(tmp_path, start)
    assert begin(tmp_path, None, "pose", own) == start
    assert begin(tmp_path / "other", None, "pose", own) == Start()


def test_what_a_sets_size_suggests_yields_to_the_command_line(tmp_path, records):
    path = tmp_path / "mine.py"
    path.write_text(
        "from blazepose_jax.training.config import Config, DataConfig, OptimizerConfig\n"
        "def get_config():\n"
        f"    return Config(data=DataConfig(records={str(records)!r}),\n"
        "        optimizer=OptimizerConfig(steps=900, batch_size=32),\n"
        "        sizes=((5, ('optimizer.steps=5',)),\n"
        "               (40, ('optimizer.steps=40', 'optimizer.batch_size=4'))))\n"
    )
    suited = configure(str(path), []).optimizer
    assert (suited.steps, suited.batch_size) == (40, 4)
    mine = configure(str(path), ["optimizer.batch_size=16"]).optimizer
    assert (mine.steps, mine.batch_size) == (40, 16)
    # A share must leave somebody of each kind in the batch that suits.
    with pytest.raises(BlazePoseError, match=r"data\.rendered is 0\.1, which is 0 of the 4"):
        configure(str(path), ["data.rendered=0.1"])


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Twelve rendered people with an own set of eight renamed points and a new one."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("own")
    own = renamed(2, ("chest",))
    people = jax.device_get(Rendered(12, 160, seed=5).take(np.arange(12)))
    images, annotations = [], []
    for i in range(12):
        Image.fromarray(people.pixels[i]).save(folder / f"{i}.jpg", quality=95)
        rows = []
        for body in own.body_names:
            near = [body] if body else ["left_shoulder", "right_hip"]
            xy = people.keypoints[i][list(BLAZEPOSE.indices(tuple(near)))].mean(0)
            rows += [*xy.tolist(), 2]
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 160, "height": 160})
        annotations.append({"id": i, "image_id": i, "category_id": 1, "keypoints": rows})
    category = {"id": 1, "name": "person", "keypoints": list(own.keypoints)}
    data = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "annotations.json").write_text(json.dumps(data))
    (folder / "own.json").write_text(json.dumps(own.to_dict()))
    words = ["--source", folder, "--skeleton", folder / "own.json", "--output", folder / "records"]
    assert main(["data", "prepare", "coco_keypoints", *map(str, words), "--size", "160"]) == 0
    return folder / "records"


def test_an_own_set_is_tuned_from_a_net_of_the_33(records, smoke, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    # Three steps of a drawn net find nobody: what the validations are worth is given.
    worth = iter([1.0, 3.0, 2.0, 2.5])
    monkeypatch.setattr(PoseTask, "score", lambda self, rates: next(worth))
    words = [
        "train",
        "smoke",
        "--init",
        str(smoke),
        "--workdir",
        str(run),
        f"data.records={records}",
        "teacher.weights=init",
        "model.norm=frozen",
        "model.heads=('mask', 'heatmap')",
        "optimizer.steps=3",
        "optimizer.batch_size=4",
        "optimizer.accumulate=2",
        "optimizer.learning_rate=1e-5",
        "validate_every=1",
        "checkpoint_every=3",
    ]
    capsys.readouterr()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "rows: 10 carried over" in said
    assert "chest between" in said
    assert "step 0: held-out" in said
    net = read_stored(run / "weights")["pose"]
    assert net.skeleton is not None
    assert net.skeleton.auxiliary == ROI_POINTS
    assert net.arguments["keypoints"] == 9 + 2
    assert net.licence.startswith("Apache-2.0")
    assert "from: drawn" in net.source
    best = json.loads((run / "best.json").read_text())
    assert best == {"step": 1, "score": 3.0, "start": 1.0}
    assert "kept the weights of step 1 of 3: 3.0, 1.0 at the start" in said
    assert "wrote those of step 3" in said
    last = read_stored(run / "last")["pose"]
    assert last.skeleton == net.skeleton
    assert not all(map(np.array_equal, *map(jax.tree.leaves, (last.variables, net.variables))))
