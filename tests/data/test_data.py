"""Data sets of three kinds, in two formats, read in two ways."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from helpers import person, standing, write_folder
from PIL import Image
from scipy.io import savemat

from blazepose_jax.cli.main import main
from blazepose_jax.data.lsp import read_lsp, unpack
from blazepose_jax.data.readers import DataConfig, open_readers
from blazepose_jax.data.records import open_records
from blazepose_jax.data.resident import Resident, read_records
from blazepose_jax.data.streams import open_stream
from blazepose_jax.errors import BlazePoseError


def archive(folder, joints, count):
    """What LSP's archives unpack to."""
    (folder / "images").mkdir(parents=True)
    savemat(folder / "joints.mat", {"joints": joints})
    for i in range(count):
        name = f"im{i + 1:04d}.jpg" if joints.shape[0] == 3 else f"im{i + 1:05d}.jpg"
        Image.fromarray(np.full((120, 90, 3), 50, np.uint8)).save(folder / "images" / name)
    return folder


def joints_of(count):
    rng = np.random.default_rng(0)
    return rng.uniform(10, 80, (count, 14, 2))


def test_the_third_row_means_opposite_things(tmp_path):
    points = joints_of(3)
    third = np.zeros((3, 14))
    third[1, 4] = 1
    lsp = np.concatenate([points, third[..., None]], -1).transpose(2, 1, 0)  # (3, 14, n)
    data = read_lsp(archive(tmp_path / "lsp", lsp, 3))
    np.testing.assert_array_equal(data.people[0].visibility_flags, 2)
    assert data.people[1].visibility_flags[4] == 1  # occluded
    # Matlab counts from 1
    np.testing.assert_allclose(data.people[2].keypoints, points[2] - 1, atol=1e-5)
    extended = np.concatenate([points, third[..., None]], -1).transpose(1, 2, 0)  # (14, 3, n)
    data = read_lsp(archive(tmp_path / "lspet", extended, 3))
    assert [p.id for p in data.people] == [2]
    assert data.people[0].visibility_flags[4] == 2  # labelled, and nobody else is
    assert data.people[0].visibility_flags.sum() == 2
    assert data.people[0].data_set == "lspet"
    assert data.dropped == {"no labelled keypoint": [1, 3]}


def test_lsp_has_a_test_half(tmp_path):
    joints = np.ones((3, 14, 1002)) * 40
    folder = archive(tmp_path / "lsp", joints, 2)
    (folder / "images" / "im1002.jpg").write_bytes((folder / "images" / "im0001.jpg").read_bytes())
    assert [p.id for p in read_lsp(folder).people] == [1, 2]
    assert [p.id for p in read_lsp(folder, "test").people] == [1002]
    with pytest.raises(BlazePoseError, match="did you mean 'test'"):
        read_lsp(folder, "tset")


def test_lsp_archives_are_unpacked_and_damage_is_told(tmp_path):
    folder = archive(tmp_path / "lsp", np.ones((3, 14, 2)) * 40, 2)
    import shutil

    shutil.make_archive(str(tmp_path / "lsp_dataset"), "zip", folder)
    assert unpack(tmp_path / "lsp_dataset.zip", tmp_path / "out") == tmp_path / "out"
    (folder / "joints.mat").write_bytes(b"no matlab")
    with pytest.raises(BlazePoseError, match="fetch the archive again"):
        read_lsp(folder)
    (tmp_path / "other.zip").write_bytes(b"no zip")
    with pytest.raises(BlazePoseError, match="no zip archive"):
        unpack(tmp_path / "other.zip", tmp_path / "out2")
    with pytest.raises(BlazePoseError, match=r"no joints\.mat"):
        unpack(folder / "images", tmp_path / "out3")
    savemat(folder / "joints.mat", {"joints": np.ones((2, 2, 2))})
    with pytest.raises(BlazePoseError, match="LSP's is"):
        read_lsp(folder)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same people as records and as TFDS wrote them."""
    root = tmp_path_factory.mktemp("both")
    people = []
    for i in range(9):
        rows = standing(80 + 3 * i, 40)
        people.append({**person(i + 1), "keypoints": rows.reshape(-1).tolist()})
    folder = write_folder(root / "data", people)
    for name in ("records", "tfds"):
        assert (
            main(
                [
                    "data",
                    "prepare",
                    "coco_keypoints",
                    "--source",
                    str(folder),
                    "--size",
                    "128",
                    "--format",
                    name,
                    "--output",
                    str(root / name),
                ]
            )
            == 0
        )
    return root


def test_tfds_and_records_hold_the_same_without_tensorflow(both):
    records = open_records(both / "records")
    by_id = {int(records[i]["id"]): records[i] for i in range(len(records))}
    stream, held_out = open_stream(both / "tfds", 2)
    assert (len(stream), len(held_out)) == (7, 2)
    assert len(open_stream(both / "tfds", 0)[1]) == 0
    assert stream.skeleton == records.skeleton
    batch = stream.batch(0, 7, 0)
    for i, number in enumerate(batch.ids):
        np.testing.assert_array_equal(batch.keypoints[i], by_id[int(number)]["keypoints"])
        assert batch.roi.side[i] == by_id[int(number)]["side"]
    np.testing.assert_array_equal(
        held_out.take(np.array([0])).pixels[0],
        read_records(both / "records").pixels[int(held_out.labels["id"][0]) - 1],
    )
    code = (
        "import sys; from blazepose_jax.data.streams import open_stream;"
        f" open_stream({str(both / 'tfds')!r}, 2)[0].batch(0, 2, 0); assert 'tensorflow' not in"
        " sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("kind", ["records", "tfds"])
def test_streams_visit_everybody_and_resume(both, kind):
    stream, _ = open_stream(both / kind, 2)
    first = [stream.batch(step, 7, 3).ids for step in range(2)]
    assert sorted(first[0]) == sorted(first[1])
    assert list(first[0]) != list(first[1])
    position = stream.position()
    following = stream.batch(2, 7, 3)
    again, _ = open_stream(both / kind, 2)
    again.restore(position)
    np.testing.assert_array_equal(again.batch(2, 7, 3).pixels, following.pixels)


def test_a_look_apart_leaves_the_stream_where_it_is(both):
    """Statistics for unfolding are of other batch sizes than training."""
    stream, _ = open_stream(both / "records", 2)
    apart = stream.apart()
    assert len(apart.batch(0, 5, 3).ids) == len(apart.batch(1, 5, 3).ids) == 5
    fresh, _ = open_stream(both / "records", 2)
    np.testing.assert_array_equal(stream.batch(0, 3, 3).ids, fresh.batch(0, 3, 3).ids)
    assert stream.position() == fresh.position()


def test_builders_work_as_tfds_users_expect(tmp_path):
    import tensorflow_datasets as tfds

    from blazepose_jax.data.tfds_builders import CocoKeypoints

    folder = write_folder(tmp_path / "data", [person(i + 1) for i in range(3)])
    builder = CocoKeypoints(data_dir=tmp_path / "out", file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=folder))
    source = builder.as_data_source("train")
    assert len(source) == 3
    assert source[0]["image"].shape == (320, 320, 3)
    assert source[0]["keypoints"].shape == (33, 2)


def test_scenes_keep_everybody_where_they_are(tmp_path):
    seated = np.where(np.arange(51) < 15, standing().reshape(-1), 0).tolist()
    folder = write_folder(tmp_path / "data", [person(1), {**person(2), "keypoints": seated}])
    assert (
        main(
            [
                "data",
                "prepare",
                "coco_keypoints",
                "--scenes",
                "--size",
                "128",
                "--source",
                str(folder),
                "--output",
                str(tmp_path / "scenes"),
            ]
        )
        == 0
    )
    data = read_records(tmp_path / "scenes")
    one = data.take(np.array([0]))
    status = one.status[0]
    assert sorted(status[status > 0]) == [1, 2]
    found = one.points[0, list(status).index(1)]
    assert found[1, 1] < found[0, 1]  # she stands: the circle's point is above the hips
    assert found[2, 1] < found[0, 1]
    assert (found > 0).all()
    assert (found < 128).all()


def prepare_scenes(folder, output, *words):
    """The scenes' ids and statuses."""
    words = ["--scenes", "--size", 128, "--source", folder, "--output", output, *words]
    assert main(["data", "prepare", "coco_keypoints", *map(str, words)]) == 0
    data = read_records(output)
    return data.take(np.arange(len(data)))


def test_nobody_in_a_scene_is_taught_as_background(tmp_path):
    """A crowd and a box without keypoints: people of whom no more is known."""
    crowd = {**person(2), "iscrowd": 1, "bbox": [10, 20, 30, 40]}
    box = {"id": 3, "image_id": 0, "category_id": 1, "bbox": [60, 20, 30, 40]}
    folder = write_folder(tmp_path / "data", [person(1), crowd, box, {**person(1), "bbox": None}])
    scenes = prepare_scenes(folder, tmp_path / "scenes")
    np.testing.assert_array_equal(np.sort(scenes.status[0])[-4:], [0, 1, 2, 2])
    ignored = scenes.points[0][scenes.status[0] == 2]
    assert (ignored > 0).all()
    assert abs(ignored[0, 0, 0] - ignored[1, 0, 0]) > 10


def test_scenes_of_people_who_are_left_out_are_none(tmp_path, capsys):
    folder = write_folder(
        tmp_path / "data",
        [person(1), person(2), {**person(3), "image_id": 1}],
        ["a.jpg", "b.jpg"],
    )
    (tmp_path / "test.txt").write_text("2\n")
    scenes = prepare_scenes(folder, tmp_path / "s", "--leave-out", tmp_path / "test.txt")
    assert scenes.ids.tolist() == [3]
    assert "1 more people left out, in pictures of somebody" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["coco_keypoint", "--source", "x"], "did you mean 'coco_keypoints'"),
        (["lsp"], "needs --source"),
        (["lsp", "--source", "gone"], "no zip archive"),
        (["rendered_people", "--count", "0"], "at least 1 person"),
        (["rendered_people", "--size", "5000"], "at least 1 person of 64 to 4096 px"),
        (["rendered_people", "--seed", "-1"], "--seed is -1: it must be from 0 to"),
        (["rendered_people", "--scenes"], "leave out --format"),
        (["rendered_people", "--format", "tfrecord"], "format"),
        (["rendered_people", "count=10"], "does not read 'count=10', which is for data show"),
        (["rendered_people", "--skeleton", "coco"], "does not read --skeleton"),
        (["coco_keypoints", "--source", "x", "--seed", "1"], "--seed, which is for data prepare r"),
        (["coco_keypoints", "--source", "x", "--scenes", "--teacher", "lite"], "not in --scenes"),
    ],
)
def test_bad_orders_say_what_is_wrong(tmp_path, capsys, words, message):
    assert main(["data", "prepare", *words, "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_records_and_rendered_people_of_two_sizes_do_not_mix(records, monkeypatch):
    """Which is said before anybody is rendered."""
    monkeypatch.setattr("blazepose_jax.data.readers.render_all", None)
    config = DataConfig(records=str(records), rendered=0.5, people=50, size=160)
    with pytest.raises(BlazePoseError, match="records of 320 px and rendered people of 160 px"):
        open_readers(config)


def mixed_with_itself(records, share):
    """Photographs and what stands for rendered people, whose ids are above 1000."""
    from blazepose_jax.data.mixed import Mixed, _with_body

    class Rendered(Resident):
        def batch(self, step, size, seed, rows=None):
            return _with_body(super().batch(step, size, seed, rows))

    real = read_records(records)
    other = Rendered(real.skeleton, real.pixels, {**real.labels, "id": real.labels["id"] + 1000})
    return real, Mixed(real, other, share)


@pytest.mark.parametrize(("share", "rendered"), [(0.02, 1), (0.99, 7)])
def test_a_share_leaves_somebody_of_each_kind(records, share, rendered):
    _, mixed = mixed_with_itself(records, share)
    assert (mixed.batch(0, 8, 0).ids > 1000).sum() == rendered
    with pytest.raises(BlazePoseError, match="a process has 1 of the 2 people of a batch"):
        mixed.batch(0, 2, 0, rows=range(1))


def test_every_epoch_of_a_mixture_has_everybody(records):
    real, mixed = mixed_with_itself(records, 0.5)
    count = len(real)
    ids = np.concatenate([mixed.batch(step, 4, 0).ids for step in range(-(-count // 2))])
    assert set(real.labels["id"]) <= set(ids)
    assert set(mixed.rendered.labels["id"]) <= set(ids)
    # Two processes compute halves of one batch: nobody twice, and each has both kinds.
    halves = [mixed.batch(0, 8, 0, rows=range(i, i + 4)).ids for i in (0, 4)]
    assert len(set(np.concatenate(halves))) == 8
    assert all((half > 1000).sum() == 2 for half in halves)


def test_a_look_at_few_records_needs_no_share(records):
    data = read_records(records)
    weights = np.where(np.arange(len(data)) < 2, 1.0, 0.5).astype(np.float32)
    data = dataclasses.replace(data, labels={**data.labels, "weight": weights}, trusted=0.03)
    assert len(data.batch(0, 16, 0).ids) == 16


def test_a_share_of_every_batch_is_of_people_labelled_well(records):
    data = read_records(records)
    count = len(data)
    weights = np.where(np.arange(count) < 2, 1.0, 0.5).astype(np.float32)
    data = dataclasses.replace(data, labels={**data.labels, "weight": weights}, trusted=0.5)
    batches = [data.batch(step, 4, 0) for step in range(count)]
    for batch in batches:
        assert list(batch.weight) == [1, 1, 0.5, 0.5]
    # Epochs of both are whole, and a process that computes a part of a batch gets that part.
    rest = [number for batch in batches for number in batch.ids[2:].tolist()][: count - 2]
    assert len(set(rest)) == count - 2
    np.testing.assert_array_equal(data.batch(3, 4, 0, rows=range(1, 3)).ids, batches[3].ids[1:3])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"trusted": 1.0}, "data.trusted is 1.0: it is a share, from 0 to below 1"),
        ({"trusted": 0.5, "reader": "grain"}, "data.trusted needs data.reader=resident"),
        ({"trusted": 0.5}, "weigh alike"),
    ],
)
def test_a_share_that_cannot_be_drawn_is_refused(records, words, message):
    with pytest.raises(BlazePoseError, match=message):
        open_readers(DataConfig(records=str(records), **words))
