"""People of foreign TFDS data sets, by a mapping of their features."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import NAMES, fails, standing
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.data.records import open_records
from blazepose_jax.data.streams import open_stream
from blazepose_jax.data.tfds_people import read_tfds
from blazepose_jax.data.tfds_source import parse_mapping
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.images import read_image
from blazepose_jax.skeleton import COCO

tfds = pytest.importorskip("tensorflow_datasets")

WIDTH, HEIGHT = 220, 200
SIZE = np.array([WIDTH, HEIGHT], np.float32)
PICTURE = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def write_set(folder, features, rows, picture=PICTURE, file_format="array_record"):
    """A TFDS data set of the given features beside an image, as a user's own builder writes it."""

    class Foreign(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """A foreign set."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": enumerate(rows), "test": enumerate(rows[:1])}

        def _generate_examples(self):
            raise AssertionError

    tfds.disable_progress_bar()
    builder = Foreign(data_dir=folder, file_format=file_format)
    builder.download_and_prepare()
    return builder.data_path


def tensor(*shape, dtype=np.float32):
    return tfds.features.Tensor(shape=shape, dtype=dtype)


def image():
    return tfds.features.Image(shape=(HEIGHT, WIDTH, 3), encoding_format="jpeg")


@pytest.fixture(scope="module")
def pixels(tmp_path_factory):
    """Six people in px, one point unlabelled and one hidden."""
    rows = []
    for i in range(6):
        points = standing(90 + 4 * i).astype(np.float32)
        points[0], points[1, 2] = 0, 1
        rows.append({"photo": PICTURE, "points": points, "film": f"film {i // 3}"})
    features = {"photo": image(), "points": tensor(17, 3), "film": tfds.features.Text()}
    return write_set(tmp_path_factory.mktemp("pixels"), features, rows)


@pytest.fixture(scope="module")
def normalised(tmp_path_factory):
    """Pictures of two people each: normalised (y, x), bool visibility, BBoxFeature, nested."""
    both = np.stack([standing(60)[:, :2], standing(150)[:, :2]]) / SIZE
    boxes = [tfds.features.BBox(0.1, x / WIDTH, 0.9, (x + 40) / WIDTH) for x in (40, 130)]
    seen = np.ones((2, 17), bool)
    seen[1, 3] = False
    people = [
        {"points": both[i, :, ::-1].astype(np.float32), "seen": seen[i], "bbox": boxes[i]}
        for i in range(2)
    ]
    features = {
        "image": image(),
        "people": tfds.features.Sequence(
            {
                "points": tensor(17, 2),
                "seen": tensor(17, dtype=np.bool_),
                "bbox": tfds.features.BBoxFeature(),
            }
        ),
    }
    rows = [{"image": PICTURE, "people": people}] * 3
    return write_set(tmp_path_factory.mktemp("normalised"), features, rows)


PIXELS = "image=photo,keypoints=points,group=film"
NORMALISED = (
    "image=image,keypoints=people/points,visibility=people/seen,box=people/bbox"
    ",units=normalised,order=yx"
)


def prepare(source, mapping, output, *words):
    command = ["data", "prepare", "tfds", "--source", str(source), "--mapping", mapping]
    return main([*command, "--skeleton", "coco", "--size", "96", "--output", str(output), *words])


def test_people_in_pixels_become_records_that_stream(pixels, tmp_path, capsys):
    assert prepare(pixels, PIXELS, tmp_path / "records") == 0
    out = capsys.readouterr().out
    assert "wrote 6 people" in out
    assert "2 groups, by the field group" in out
    records = open_records(tmp_path / "records")
    assert records.skeleton.keypoints == NAMES
    row = records[2]
    assert row["flags"].tolist() == [0, 1] + [2] * 15
    # The record's square is centred on the hips; a labelled point lies where the picture has it.
    hips = [NAMES.index(name) for name in ("left_hip", "right_hip")]
    np.testing.assert_allclose(row["keypoints"][hips].mean(0), [48, 48], atol=1e-3)
    apart = standing(98)[:, :2]
    scale = np.diff(row["keypoints"][hips][:, 0])[0] / np.diff(apart[hips][:, 0])[0]
    expected = (apart - apart[hips].mean(0)) * scale + 48
    np.testing.assert_allclose(row["keypoints"][1:], expected[1:], atol=1e-2)
    stream, held_out = open_stream(tmp_path / "records", 3)
    assert (len(stream), len(held_out)) == (3, 3)  # a film is never torn apart
    assert stream.batch(0, 2, 0).pixels.shape == (2, 96, 96, 3)


def test_normalised_yx_points_and_yxyx_boxes(normalised, tmp_path):
    data = read_tfds(str(normalised), "train", parse_mapping(NORMALISED), COCO, tmp_path)
    assert data.names == NAMES
    assert [person.label for person in data.people][:3] == ["1.1", "1.2", "2.1"]
    for i, x in enumerate((60, 150)):
        found = data.people[i]
        labelled = found.visibility_flags > 0
        expected = np.where(labelled[:, None], standing(x)[:, :2], 0)
        np.testing.assert_allclose(found.keypoints, expected, atol=1e-3)
        left = 40 + 90 * i
        np.testing.assert_allclose(found.box_xyxy, [left, 20, left + 40, 180], atol=1e-3)
    assert data.people[0].visibility_flags.tolist() == [2] * 17
    assert data.people[1].visibility_flags.tolist() == [2] * 3 + [0] + [2] * 13
    assert "visibility never above 1, taken as visible" in data.changed
    assert len({person.image for person in data.people}) == 3


def test_boxes_place_the_roi_where_the_set_says_so(normalised, tmp_path):
    skeleton = {**COCO.to_dict(), "name": "boxed", "roi": "box"}
    (tmp_path / "boxed.json").write_text(json.dumps(skeleton))
    words = ("--skeleton", str(tmp_path / "boxed.json"))
    assert prepare(normalised, NORMALISED, tmp_path / "records", *words) == 0
    records = open_records(tmp_path / "records")
    assert len(records) == 6
    np.testing.assert_array_equal(records.labels["angle"], 0)


@pytest.mark.parametrize(
    ("form", "box"), [("xyxy", [40, 20, 80, 180]), ("yxyx", [20, 40, 180, 80]),
                      ("xywh", [40, 20, 40, 160])]
)  # fmt: skip
def test_forms_of_plain_boxes(form, box, tmp_path):
    row = {"image": PICTURE, "flat": standing(60)[:, :2].reshape(-1).astype(np.float32)}
    row["box"] = np.array(box, np.float32)
    features = {"image": image(), "flat": tensor(34), "box": tensor(4)}
    source = write_set(tmp_path / "set", features, [row])
    mapping = parse_mapping(f"image=image,keypoints=flat,box=box,box_form={form}")
    [person] = read_tfds(str(source), "train", mapping, COCO, tmp_path).people
    np.testing.assert_array_equal(person.box_xyxy, [40, 20, 80, 180])
    np.testing.assert_allclose(person.keypoints, standing(60)[:, :2], atol=1e-3)


def test_pictures_may_be_tensors_and_points_missing(tmp_path):
    points = standing(60)[:, :2].astype(np.float32)
    points[4], points[5], points[6] = np.nan, -1, 0
    row = {"image": PICTURE, "points": points}
    features = {"image": tensor(HEIGHT, WIDTH, 3, dtype=np.uint8), "points": tensor(17, 2)}
    source = write_set(tmp_path / "set", features, [row])
    mapping = parse_mapping("image=image,keypoints=points")
    [person] = read_tfds(str(source), "train", mapping, COCO, tmp_path).people
    assert np.flatnonzero(person.visibility_flags == 0).tolist() == [4, 5, 6]
    np.testing.assert_array_equal(np.asarray(Image.open(person.image)), PICTURE)


def test_one_line_for_each_mistake(pixels, normalised, tmp_path, capsys):
    def error(source, mapping, *words):
        command = ["data", "prepare", "tfds", "--source", source, "--output", tmp_path / "out"]
        given = ["--mapping", mapping] if mapping else []
        return fails(capsys, *command, *given, "--skeleton", "coco", *words)

    assert "--mapping go together" in error(pixels, None)
    assert "mapping lacks 'keypoints'" in error(pixels, "image=photo")
    assert "did you mean 'keypoints'?" in error(pixels, "image=photo,keypoint=points")
    assert "feature of" in error(pixels, "image=photo,keypoints=poins")
    assert "did you mean 'points'?" in error(pixels, "image=photo,keypoints=poins")
    assert "did you mean 'train'?" in error(pixels, PIXELS, "--split", "trian")
    assert "did you mean 'normalised'?" in error(pixels, f"{PIXELS},units=normalized")
    assert "leave that out if they are pixels" in error(pixels, f"{PIXELS},units=normalised")
    unitless = NORMALISED.replace(",units=normalised", "")
    assert "add units=normalised" in error(normalised, unitless)
    assert "it must end in (33, 2) or (33, 3)" in error(pixels, PIXELS, "--skeleton", "blazepose")
    assert "give the folder with its dataset_info.json" in error(tmp_path / "none", PIXELS)
    assert "leave out --format" in error(pixels, PIXELS, "--format", "tfds")
    assert not (tmp_path / "out").exists()


def test_strict_reading_drops_nobody(tmp_path, capsys):
    """But for examples that are padded to one number of people."""
    points = standing(60)[:, :2].astype(np.float32)
    padded = [{"image": PICTURE, "points": points * seen} for seen in (1, 0)]
    features = {"image": image(), "points": tensor(17, 2)}
    source = write_set(tmp_path / "padded", features, padded)
    assert prepare(source, "image=image,keypoints=points", tmp_path / "ok", "--strict") == 0
    assert "1 dropped, no labelled keypoint: 2" in capsys.readouterr().out
    rows = [{"image": PICTURE, "points": points + far} for far in (0, 10_000)]
    source = write_set(tmp_path / "set", features, rows)
    assert prepare(source, "image=image,keypoints=points", tmp_path / "records") == 0
    dropped = "1 dropped, every keypoint far outside of the picture: 2"
    assert dropped in capsys.readouterr().out
    assert prepare(source, "image=image,keypoints=points", tmp_path / "strict", "--strict") == 2
    assert "strict reading allows none" in capsys.readouterr().err
    assert not (tmp_path / "strict").exists()


def test_a_set_without_people_is_an_error(tmp_path):
    row = {"image": PICTURE, "points": np.zeros((17, 2), np.float32)}
    source = write_set(tmp_path / "set", {"image": image(), "points": tensor(17, 2)}, [row])
    with pytest.raises(BlazePoseError, match=r"nobody usable \(1 no labelled keypoint\)"):
        read_tfds(
            str(source), "train", parse_mapping("image=image,keypoints=points"), COCO, tmp_path
        )


def test_reading_needs_no_tensorflow(pixels, tmp_path):
    arguments = f"{str(pixels)!r}, 'train', parse_mapping({PIXELS!r}), COCO"
    code = (
        "import sys; from pathlib import Path; from blazepose_jax.skeleton import COCO;"
        " from blazepose_jax.data.tfds_people import read_tfds;"
        " from blazepose_jax.data.tfds_source import parse_mapping;"
        f" read_tfds({arguments}, Path({str(tmp_path)!r}));"
        " assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_whoever_is_dropped_is_no_background_where_there_is_a_box(tmp_path):
    nobody = np.zeros((17, 3))
    points = np.stack([standing(60), nobody, nobody]).astype(np.float32)
    # The last shows nothing of the picture.
    boxes = [[40, 20, 40, 160], [130, 20, 40, 150], [-50, -50, 40, 40]]
    rows = [{"photo": PICTURE, "points": points, "box": np.array(boxes, np.float32)}]
    features = {"photo": image(), "points": tensor(3, 17, 3), "box": tensor(3, 4)}
    folder = write_set(tmp_path / "set", features, rows)
    mapping = parse_mapping("image=photo,keypoints=points,box=box,box_form=xywh")
    data = read_tfds(str(folder), "train", mapping, COCO, tmp_path)
    assert data.dropped == {"no labelled keypoint": ["1.2", "1.3"]}
    ((path, box),) = data.others
    assert path == data.people[0].image
    np.testing.assert_array_equal(box, [130, 20, 170, 170])


def test_pixels_and_labels_stay_together_where_exif_turns(tmp_path):
    """TFDS shows a JPEG as its pixels lie, and so its labels are of those."""
    upright = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    upright[: HEIGHT // 2, : WIDTH // 2] = 250
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(upright).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert read_image(tmp_path / "turned.jpg")[20, 20].max() < 9
    rows = [{"photo": str(tmp_path / "turned.jpg"), "points": standing(60).astype(np.float32)}]
    source = write_set(tmp_path / "set", {"photo": image(), "points": tensor(17, 3)}, rows)
    mapping = parse_mapping("image=photo,keypoints=points")
    [found] = read_tfds(str(source), "train", mapping, COCO, tmp_path).people
    np.testing.assert_allclose(found.keypoints, standing(60)[:, :2], atol=1e-3)
    assert np.abs(read_image(found.image).astype(int) - upright).mean() < 2
