"""Annotation files as other people's tools write them."""

import json

import numpy as np
import pytest
from helpers import NAMES, person, shared, standing, write_folder
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.data.annotations import describe_changed
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.data.groups import group_people
from blazepose_jax.data.held_out import held_out_rows
from blazepose_jax.data.readers import cap_held_out
from blazepose_jax.data.resident import read_records
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.skeleton import BLAZEPOSE, COCO, Skeleton


def folder_with(path, change=None, people=1, **images):
    """A folder of one picture and sound people, changed by ``change(data)``."""
    folder = write_folder(path, [person(i + 1) for i in range(people)])
    data = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    data["images"][0] |= images
    if change is not None:
        data = change(data) or data
    (folder / "annotations.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def annotated(**changes):
    def change(data):
        data["annotations"][0] |= changes

    return change


@pytest.mark.parametrize(
    ("identity", "image"),
    [
        ("a0001", 0),
        (890020000466, 0),
        (None, 0),
        (3.0, "0"),
        ("7", 0.0),
        (2**31, 0),
        (-5, 0),
        ("", 0),
        ([1], 0),
    ],
)
def test_ids_of_any_kind(tmp_path, identity, image):
    def change(data):
        data["annotations"] = [
            {**person(1), "id": identity, "image_id": image},
            {**person(2), "image_id": 0},
        ]

    found = read_annotations(folder_with(tmp_path / "d", change))
    assert len(found.people) == 2
    assert len({p.id for p in found.people}) == 2
    assert all(0 <= p.id < 2**31 for p in found.people)


def test_annotations_without_an_id_at_all(tmp_path):
    def change(data):
        for row in data["annotations"]:
            del row["id"]

    assert [
        p.id for p in read_annotations(folder_with(tmp_path / "d", change, people=3)).people
    ] == [1, 2, 3]


def test_prepared_records_take_any_id(tmp_path):
    folder = folder_with(tmp_path / "d", annotated(id="frame_12/person"))
    assert (
        main(
            [
                "data",
                "prepare",
                "coco_keypoints",
                "--source",
                str(folder),
                "--output",
                str(tmp_path / "r"),
            ]
        )
        == 0
    )
    assert read_records(tmp_path / "r").labels["id"].tolist() == [1]


@pytest.mark.parametrize(("width", "height"), [(None, None), ("220", "200"), ("no", -1), (0, 0)])
def test_stated_sizes_are_optional_text_or_turned(tmp_path, width, height):
    found = read_annotations(folder_with(tmp_path / "d", width=width, height=height))
    np.testing.assert_allclose(found.people[0].keypoints, standing()[:, :2])
    assert found.changed == {}


def test_pictures_that_were_scaled_after_labelling(tmp_path):
    found = read_annotations(folder_with(tmp_path / "d", width=440, height=400))
    np.testing.assert_allclose(found.people[0].keypoints, standing()[:, :2] / 2)
    assert found.people[0].area == pytest.approx(5600 / 4)
    assert "1 changed, labels scaled to the picture's size: 1" in describe_changed(found.changed)
    with pytest.raises(BlazePoseError, match="another shape than the file says"):
        read_annotations(folder_with(tmp_path / "e", width=640, height=480))
    with pytest.raises(BlazePoseError, match="another shape"):  # turned after labelling
        read_annotations(folder_with(tmp_path / "f", width=200, height=220))


def test_labels_of_a_turned_photograph_are_those_of_the_shown_one(tmp_path):
    folder = folder_with(tmp_path / "d", width=200, height=220)
    exif = Image.Exif()
    exif[0x0112] = 6
    # shown as 220 x 200
    Image.fromarray(np.full((220, 200, 3), 90, np.uint8)).save(folder / "a.jpg", exif=exif)
    found = read_annotations(folder)
    np.testing.assert_allclose(found.people[0].keypoints, standing()[:, :2])


@pytest.mark.parametrize(
    "box",
    [
        None,
        [],
        [0, 0, 0, 0],
        [80, 30, 40, 0],
        [-1, -1, -1, -1],
        ["a", 1, 2, 3],
        7,
        [500, 0, 10, 10],
        [0, 0, float("nan"), 5],
        [0, 0, 10],
    ],
)
def test_a_box_condemns_nobody(tmp_path, box):
    found = read_annotations(
        folder_with(tmp_path / "d", annotated(bbox=box, area=None)), strict=True
    )
    assert len(found.people) == 1
    assert found.people[0].area > 0


def test_each_annotation_by_its_own_category(tmp_path):
    def change(data):
        data["categories"] = [
            {"id": 1, "name": "dog", "keypoints": ["nose", "tail"]},
            {"id": 2, "name": "car"},
            {"id": 3, "name": "athlete", "keypoints": list(NAMES[::-1])},
            {"id": 4, "name": "person", "keypoints": list(NAMES)},
        ]
        data["annotations"] = [
            {**person(1), "category_id": 4},
            {**person(2), "category_id": 3, "keypoints": standing()[::-1].reshape(-1).tolist()},
            {**person(3), "category_id": 1, "keypoints": [1, 2, 2, 3, 4, 2]},
            {**person(4), "category_id": 2},
            {"id": 5, "image_id": 0, "category_id": 4, "bbox": [0, 0, 9, 9]},
            {**person(6), "category_id": 77},
        ]

    folder = folder_with(tmp_path / "d", change)
    found = read_annotations(folder)
    assert found.names == NAMES
    for one in found.people:
        np.testing.assert_allclose(one.keypoints, standing()[:, :2])
    assert dict(found.dropped.items()) == {
        "of another category, 'dog'": [3],
        "of a category without keypoints": [4],
        "a box without keypoints": [5],
        "category unknown": [6],
    }
    dogs = Skeleton("dog", ("nose", "tail"), (), ("tail",), ("nose",))
    assert read_annotations(folder, skeleton=dogs).names == ("nose", "tail")
    data = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    data["annotations"].pop()
    (folder / "annotations.json").write_text(json.dumps(data), encoding="utf-8")
    assert len(read_annotations(folder, strict=True).people) == 2  # cars and boxes are no faults


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([2, 1, 0.6, 0.0], [2, 1, 2, 0]),
        ([0.9, 1.0, 0.2, 0], [2, 2, 2, 0]),
        ([3, 1, -1, 2], [2, 1, 0, 2]),
        (["2", "1", "0.5", "0"], [2, 1, 2, 0]),
    ],
)
def test_visibility_may_be_a_confidence(tmp_path, flags, expected):
    rows = standing().astype(object)
    rows[:4, 2] = flags
    if max(float(v) for v in flags) <= 1:
        rows[4:, 2] = 0.7
    found = read_annotations(
        folder_with(tmp_path / "d", annotated(keypoints=rows.reshape(-1).tolist()))
    )
    assert found.people[0].visibility_flags[:4].tolist() == expected
    fractions = any(float(v) % 1 for v in flags)
    assert ("visibility between 0 and 1, taken as visible" in found.changed) == fractions


@pytest.mark.parametrize(
    ("flags", "read", "knows"), [([1, 1, 0], [2, 2, 0], False), ([2, 1, 0], [2, 1, 0], True)]
)
def test_without_a_2_a_1_is_visible_and_nothing_is_known_of_occlusion(tmp_path, flags, read, knows):
    """As other tools write it; taken by the letter, every point would be taught to be hidden."""
    rows = standing()
    rows[:, 2] = 1
    rows[:3, 2] = flags
    folder = folder_with(tmp_path / "d", annotated(keypoints=rows.reshape(-1).tolist()))
    found = read_annotations(folder)
    assert found.people[0].visibility_flags[:3].tolist() == read
    assert ("visibility never above 1, taken as visible" in found.changed) != knows
    words = ["--source", folder, "--output", tmp_path / "r", "--size", 128]
    assert main(["data", "prepare", "coco_keypoints", *map(str, words)]) == 0
    assert read_records(tmp_path / "r").take(np.array([0])).has_occlusion_labels.tolist() == [knows]


def test_nested_lists_of_points(tmp_path):
    found = read_annotations(folder_with(tmp_path / "d", annotated(keypoints=standing().tolist())))
    np.testing.assert_allclose(found.people[0].keypoints, standing()[:, :2])


@pytest.mark.parametrize("place", [(5000, 5000), (-5000, 10), (10, 1e12)])
def test_a_point_far_outside_is_unlabelled(tmp_path, place):
    rows = standing()
    rows[3, :2] = place
    found = read_annotations(
        folder_with(tmp_path / "d", annotated(keypoints=rows.reshape(-1).tolist()))
    )
    assert found.people[0].visibility_flags[3] == 0
    assert (found.people[0].visibility_flags > 0).sum() == 16
    assert found.changed == {"points far outside of the image, taken as unlabelled": [1]}


def test_unlabelled_rows_may_hold_anything(tmp_path):
    rows = standing()
    rows[5] = (float("nan"), float("inf"), 0)
    found = read_annotations(
        folder_with(tmp_path / "d", annotated(keypoints=rows.reshape(-1).tolist()))
    )
    assert found.people[0].keypoints[5].tolist() == [0, 0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_encodings_of_annotations_and_skeletons(tmp_path, encoding):
    folder = folder_with(tmp_path / "d")
    (folder / "annotations.json").write_text(
        (folder / "annotations.json").read_text(encoding="utf-8"), encoding=encoding
    )
    skeleton = {**COCO.to_dict(), "name": "größe"}
    (tmp_path / "s.json").write_text(json.dumps(skeleton, ensure_ascii=False), encoding=encoding)
    assert (
        main(
            [
                "data",
                "prepare",
                "coco_keypoints",
                "--source",
                str(folder),
                "--skeleton",
                str(tmp_path / "s.json"),
                "--output",
                str(tmp_path / "r"),
            ]
        )
        == 0
    )
    assert read_records(tmp_path / "r").skeleton.name == "größe"


class TestPlaces:
    def picture(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((200, 220, 3), 90, np.uint8)).save(path)

    @pytest.mark.parametrize(
        ("name", "place"),
        [
            ("images\\a.jpg", "images/a.jpg"),
            ("a.jpg", "images/a.jpg"),
            (".\\sub\\a.jpg", "sub/a.jpg"),
            ("C:\\Users\\me\\a.jpg", "a.jpg"),
            ("/data/upload/1/a.jpg", "images/a.jpg"),
            ("train2017/a.jpg", "train2017/a.jpg"),
        ],
    )
    def test_names_from_elsewhere(self, tmp_path, name, place):
        folder = folder_with(tmp_path / "d", file_name=name)
        (folder / "a.jpg").unlink()
        self.picture(folder / place)
        assert read_annotations(folder).people[0].image == folder / place

    def test_cocos_own_layout(self, tmp_path):
        folder = folder_with(tmp_path / "coco")
        (folder / "annotations").mkdir()
        (folder / "annotations.json").rename(
            folder / "annotations" / "person_keypoints_val2017.json"
        )
        (folder / "a.jpg").unlink()
        self.picture(folder / "val2017" / "a.jpg")
        for source in (
            folder,
            folder / "annotations",
            folder / "annotations" / "person_keypoints_val2017.json",
        ):
            assert len(read_annotations(source).people) == 1

    def test_what_was_tried_is_said_and_a_folder_can_be_named(self, tmp_path):
        folder = folder_with(tmp_path / "d")
        (folder / "a.jpg").unlink()
        with pytest.raises(BlazePoseError, match=f"image file missing .looked in {folder}"):
            read_annotations(folder)
        self.picture(tmp_path / "elsewhere" / "a.jpg")
        assert len(read_annotations(folder, images=tmp_path / "elsewhere").people) == 1
        with pytest.raises(BlazePoseError, match="does not exist"):
            read_annotations(folder, images=tmp_path / "gone")

    @pytest.mark.parametrize("name", ["../secret.jpg", "{root}/secret.jpg"])
    def test_nothing_outside_is_read_unless_allowed(self, tmp_path, name):
        self.picture(tmp_path / "secret.jpg")
        folder = folder_with(tmp_path / "d", file_name=name.format(root=tmp_path))
        with pytest.raises(BlazePoseError, match="outside of the folder: allow it with --images"):
            read_annotations(folder)
        assert len(read_annotations(folder, images=tmp_path).people) == 1

    def test_two_pictures_of_one_name_are_not_mixed_up(self, tmp_path):
        def change(data):
            data["images"] = [{"id": 0, "file_name": "x/a.jpg"}, {"id": 1, "file_name": "y/a.jpg"}]

        folder = folder_with(tmp_path / "d", change)
        with pytest.raises(BlazePoseError, match="image file missing"):
            read_annotations(folder)

    def test_an_id_of_two_pictures(self, tmp_path):
        def change(data):
            data["images"].append({**data["images"][0], "file_name": "b.jpg"})

        with pytest.raises(BlazePoseError, match="its id is used twice"):
            read_annotations(folder_with(tmp_path / "d", change))


class TestGroups:
    def people(self, tmp_path, files, groups=None):
        folder = write_folder(
            tmp_path / "d", [{**person(i + 1), "image_id": i} for i in range(len(files))], files
        )
        if groups is not None:
            data = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
            for row, group in zip(data["images"], groups, strict=True):
                row["group"] = group
            (folder / "annotations.json").write_text(json.dumps(data), encoding="utf-8")
        return read_annotations(folder).people

    @pytest.mark.parametrize("source", ["names", "field"])
    def test_films_are_not_torn_apart(self, tmp_path, source):
        films = [f"film{c}" for c in "abcdef"]
        if source == "names":
            people = self.people(
                tmp_path, [f"{film}_{i:03d}.jpg" for i in range(5) for film in films]
            )
        else:
            people = self.people(
                tmp_path,
                [f"x{i * 6 + j}.jpg" for i in range(5) for j in range(6)],
                [film for _ in range(5) for film in films],
            )
        numbers, how = group_people(people)
        assert how.startswith(
            "6 groups, by " + ("file names, like 'filma_#'" if source == "names" else "the field")
        )
        groups = np.array([numbers[p.id] for p in people])
        held = held_out_rows(np.ones(30), 6, groups=groups)
        assert len(held) == 5
        assert not set(groups[held]) & set(np.delete(groups, held))

    @pytest.mark.parametrize(
        ("names", "count"),
        [
            (
                [f"film{f}_{i:04d}_jpg.rf.0123456789ab{i:02d}.jpg" for f in "ab" for i in range(6)],
                2,
            ),
            ([f"{f}_f{i:03d}_crop.png" for f in ("run", "jump", "walk") for i in range(4)], 3),
            ([f"IMG_{i}.jpg" for i in range(6)] + [f"DSC_{i}.jpg" for i in range(6)], 12),
            ([f"lsp_im{i}.jpg" for i in range(2)] + [f"lspet_im{i}.jpg" for i in range(14)], 16),
        ],
    )
    def test_names_of_films_and_of_strangers(self, tmp_path, names, count):
        numbers, _ = group_people(self.people(tmp_path, names))
        assert len(set(numbers.values())) == count

    def test_a_subject_in_several_pictures_brings_its_pictures_along(self, tmp_path):
        """Groups of annotations, and pictures of two of them."""

        def change(data):
            data["images"] = [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)]
            data["annotations"] = [
                {**person(i + 1), "image_id": i // 2, "group": f"subject {(i + 1) // 2}"}
                for i in range(8)
            ]

        folder = folder_with(tmp_path / "d", change)
        for i in range(4):
            (folder / f"{i}.jpg").write_bytes((folder / "a.jpg").read_bytes())
        numbers, _ = group_people(read_annotations(folder).people)
        assert len(set(numbers.values())) == 1

    def test_numbers_alone_tell_no_films(self, tmp_path):
        people = self.people(tmp_path, [f"im{i:04d}.jpg" for i in range(12)])
        numbers, how = group_people(people)
        assert len(set(numbers.values())) == 12
        assert "one a picture" in how

    def test_frames_in_a_folder_of_each_film(self, tmp_path):
        """Two folders may be train and val; many are films."""
        names = [f"film_{c}/{i:05d}.jpg" for c in "abcdef" for i in range(4)]
        for name in names:
            for parent in ("many", "two"):
                (tmp_path / parent / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        numbers, how = group_people(self.people(tmp_path / "many", names))
        assert len(set(numbers.values())) == 6
        assert "like 'film_a/'" in how
        numbers, _ = group_people(self.people(tmp_path / "two", names[:8]))
        assert len(set(numbers.values())) == 8

    def test_of_labels_by_a_net_alone_some_are_held_out(self):
        assert len(held_out_rows(np.full(30, 0.9), 6)) == 6
        mixed = np.where(np.arange(30) < 9, 1, 0.5)
        assert (held_out_rows(mixed, 6) < 9).all()

    def test_people_of_one_picture_stay_together(self, tmp_path):
        folder = write_folder(
            tmp_path / "d",
            [{**person(i + 1), "image_id": i // 3} for i in range(30)],
            [f"{i}.jpg" for i in range(10)],
        )
        people = read_annotations(folder).people
        numbers, _ = group_people(people)
        groups = np.array([numbers[p.id] for p in people])
        held = held_out_rows(np.ones(30), 6, groups=groups)
        assert len(held) == 6
        assert not set(groups[held]) & set(np.delete(groups, held))

    def test_whole_groups_where_all_are_large(self):
        groups = np.repeat([0, 1, 2], [10, 12, 14])
        held = held_out_rows(np.ones(36), 5, groups=groups)
        assert set(groups[held]) == {0}
        assert len(held_out_rows(np.ones(4), 2, groups=np.zeros(4, int))) == 0

    @pytest.mark.parametrize(
        ("asked", "count", "held"),
        [(200, 30, 6), (200, 7012, 200), (2, 5, 1), (4, 3, 0), (0, 9, 0)],
    )
    def test_at_most_a_fifth_is_held_out_and_said(self, capsys, asked, count, held):
        assert cap_held_out(asked, count) == held
        assert (f"about {held} are held out" in capsys.readouterr().out) == (held != asked)


class TestSides:
    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ("Left Shoulder", "Right Shoulder"),
            ("l_shoulder", "r_shoulder"),
            ("LeftShoulder", "RightShoulder"),
            ("shoulder-L", "shoulder-R"),
            ("LEFT_SHOULDER", "RIGHT_SHOULDER"),
            ("shoulder.left", "shoulder.right"),
            ("lShoulder", "rShoulder"),
            ("LShoulder", "RShoulder"),
            ("leftshoulder", "rightshoulder"),
            ("lsho", "rsho"),
            ("shoulder (left)", "shoulder (right)"),
            ("Schulter links", "Schulter rechts"),
            ("左肩", "右肩"),
            ("kpt12_L", "kpt12_R"),
            ("épaule_gauche", "épaule_droite"),
            ("LS", "RS"),
            ("innerlefteye", "innerrighteye"),
            ("genou_gauche", "genou_droit"),
            ("1_left_hip", "2_right_hip"),
            ("ombro_esquerdo", "ombro_direito"),
        ],
    )
    def test_common_spellings(self, left, right):
        names = ("neck", right, "pelvis", left)
        skeleton = Skeleton("own", names, (), ("pelvis",), ("neck",))
        assert skeleton.left_right == ((left, right),)
        assert skeleton.flip == (0, 3, 2, 1)
        assert skeleton.sides == ("", "right", "", "left")
        assert skeleton.mirrors
        assert f"{left} <-> {right}" in skeleton.describe_sides()

    @pytest.mark.parametrize(
        "names",
        [
            ("right_wrist", "right_elbow"),
            ("pelvis", "neck"),
            ("lip", "leg"),
            ("l_hip", "r_hip", "l_knee"),
            ("ear", "rear"),
            ("left_hip", "right_hip", "lknee"),
            ("left_hip", "right_hip", "leftknee"),
            tuple("abcklmrst"),
        ],
    )
    def test_where_nothing_or_not_all_swaps_mirroring_is_off(self, names):
        skeleton = Skeleton("own", names, (), names[:1], names[1:2])
        assert not skeleton.mirrors
        assert "mirroring is off" in skeleton.describe_sides()

    def test_what_is_said_beats_what_is_spelled(self):
        skeleton = Skeleton("own", ("a", "b", "left_c"), (), ("a",), ("b",), pairs=(("a", "b"),))
        assert skeleton.flip == (1, 0, 2)
        assert skeleton.mirrors
        assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton

    def test_flip_indices_of_the_file_are_honoured(self, tmp_path):
        def change(data):
            names = ["p1", "p2", "top", "bottom"]
            data["categories"] = [{"id": 1, "keypoints": names, "flip_indices": [1, 0, 2, 3]}]
            data["annotations"][0]["keypoints"] = [80, 60, 2, 120, 60, 2, 100, 40, 2, 100, 100, 2]

        folder = folder_with(tmp_path / "d", change)
        skeleton = {
            "name": "four",
            "keypoints": ["p2", "top", "bottom", "p1"],
            "bones": [],
            "center": ["bottom"],
            "up": ["top"],
        }
        (tmp_path / "s.json").write_text(json.dumps(skeleton), encoding="utf-8")
        assert (
            main(
                [
                    "data",
                    "prepare",
                    "coco_keypoints",
                    "--source",
                    str(folder),
                    "--skeleton",
                    str(tmp_path / "s.json"),
                    "--output",
                    str(tmp_path / "r"),
                ]
            )
            == 0
        )
        assert read_records(tmp_path / "r").skeleton.flip == (3, 1, 2, 0)

    def test_mirrored_samples_keep_their_sides(self, tmp_path):
        """The case of a public report: left minus right keeps its sign, whatever the spelling."""
        import jax

        from blazepose_jax.training import NO_AUGMENTATION, sample_targets

        source = shared("cases", "h21-left-right-names")
        assert (
            main(
                [
                    "data",
                    "prepare",
                    "coco_keypoints",
                    "--source",
                    str(source),
                    "--skeleton",
                    str(source / "skeleton.json"),
                    "--output",
                    str(tmp_path / "r"),
                    "--size",
                    "128",
                ]
            )
            == 0
        )
        data = read_records(tmp_path / "r")
        assert data.skeleton.mirrors
        left, right = data.skeleton.indices(data.skeleton.left_right[0])
        import dataclasses

        record = jax.tree.map(lambda a: a[0], data.take(np.array([0])))
        for flip in (0.0, 1.0):
            config = dataclasses.replace(NO_AUGMENTATION, flip=flip)
            points = sample_targets(
                jax.random.key(0), record, data.skeleton, 64, config
            ).keypoints_crop
            assert float(points[left, 0] - points[right, 0]) > 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"center": "right_hip"}, "field 'center' is 'right_hip': it must be a list of names"),
        ({"keypoints": [1, 2]}, "must be a list of names"),
        ({"keypoints": []}, "it must have from 1 to"),
        ({"bones": [["nose"]]}, "list of pairs"),
        ({"bones": 7}, "list of pairs"),
        ({"name": 3}, "must be text"),
        ({"up": ["left_hip", "right_hip"]}, "same points as center and up"),
        ({"pairs": [["nose", "nose"]]}, "pairs a keypoint"),
        ({"pairs": [["nose", "tail"]]}, "uses 'tail'"),
        ({"colour": 1}, "unknown field 'colour'"),
        ({"center": {"a": 1}}, "list of names"),
        ({"auxiliary": [None]}, "list of names"),
    ],
)
def test_skeletons_that_are_wrong(change, message):
    with pytest.raises(BlazePoseError, match=message):
        Skeleton.from_dict({**COCO.to_dict(), **change})
    for wrong in ([], 7, None, "x"):
        with pytest.raises(BlazePoseError, match="must be an object"):
            Skeleton.from_dict(wrong)


@pytest.mark.parametrize("words", [[], ["--scenes"]])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([f"mark {i}" for i in range(17)], "no keypoint of the set 'blazepose', such as 'nose'"),
        ([n.replace("hip", "haunch") for n in NAMES], "the data has no keypoint 'left_hip'"),
    ],
)
def test_names_that_are_not_in_the_data_are_said(tmp_path, capsys, names, message, words):
    def change(data):
        data["categories"][0]["keypoints"] = names

    folder = folder_with(tmp_path / "d", change)
    command = ["data", "prepare", "coco_keypoints", "--source", str(folder), *words]
    assert main([*command, "--output", str(tmp_path / "r")]) == 2
    assert message in capsys.readouterr().err
    assert BLAZEPOSE.mirrors


@pytest.mark.parametrize(
    ("mark", "people"), [(["test_1.jpg"], 0), ([], 1), (True, 0), ("yes", 0), (False, 1)]
)
def test_near_duplicates_of_test_images_are_dropped_however_they_are_marked(tmp_path, mark, people):
    write_folder(tmp_path, [person(1), person(2, image_id=1)], images=("a.jpg", "b.jpg"))
    path = tmp_path / "annotations.json"
    data = json.loads(path.read_text())
    data["images"][0]["near_duplicate_of_test"] = mark
    path.write_text(json.dumps(data))
    found = read_annotations(tmp_path)
    assert len(found.people) == 1 + people
    assert len(found.dropped.get("near duplicate of a test image", [])) == 1 - people
