"""Own keypoint sets, made of data that is at hand, and the difference of two nets on one of them.

    python tools/own_keypoints.py people DIR --source LSP_TRAIN
    python tools/own_keypoints.py stick DIR [--learn 300] [--test 100]
    python tools/own_keypoints.py kind DIR --source LSP_TRAIN --test LSP_TEST
    python tools/own_keypoints.py compare BEFORE AFTER --data DIR --images LSP_TRAIN

``people`` writes folders of annotations (no pictures) and skeleton files of LSP's people:
``match`` has 8 points under BlazePose's names, ``own`` the same under others, ``lsp14`` all 14 that
LSP labels, ``arm`` three; ``_20`` to ``_1500`` are as many people to learn from, ``_test`` 150
others. Those and 350 more stand in experiments/lsp_held_out.txt, which nobody trains on.
``stick`` renders people who hold a stick, whose tip no point of BlazePose's implies.
``kind`` writes folders of people who lie or hang upside down, with all labels of ``--source``
and as if they were somebody's own, not LSP Extended's: ``kind_25`` to ``kind_1600``, each with the
one before, none held out, and ``mixed_25`` to ``mixed_1600`` with as many upright people besides;
``test.txt`` and ``test_upright.txt`` list people of ``--test`` for ``evaluate --only``. The angle
is that of hips to shoulders.
``compare`` bootstraps over people: the difference in PCK@0.2 and its 95 % interval.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image, ImageDraw

from blazepose_jax import BLAZEPOSE
from blazepose_jax.data.coco import read_annotations
from blazepose_jax.evaluation.predict import predict, shared_keypoints
from blazepose_jax.evaluation.report import choose_torso, hits_by_person, paired_difference
from blazepose_jax.inference.engine import load_engine
from blazepose_jax.inference.settings import Settings
from blazepose_jax.known_points import BONES_14, HIPS, SHOULDERS
from blazepose_jax.rendering.scene import render_records

SEED, LEARN, TEST, HELD_OUT = 1, 150, 150, 500
COUNTS = (20, 50, 150, 500, 1000, 1500)
KIND_COUNTS = (25, 100, 400, 1600)
UPRIGHT = np.pi / 4  # up to this angle, as where results tell poses apart
JOINTS = ("shoulder", "elbow", "wrist", "hip")
EIGHT = tuple(f"{side}_{joint}" for joint in JOINTS for side in ("left", "right"))
OWN_NAMES = {name: f"{name[0].upper()}_{name.split('_')[1].title()}" for name in EIGHT}
SIDE, FINE = 400, 4  # px of a rendered picture; sticks are drawn this many times larger


def people(directory: Path, source: Path) -> None:
    """Write the sets of LSP's people; see the module."""
    found = json.loads((source / "annotations.json").read_text(encoding="utf-8"))
    images = {image["id"]: image for image in found["images"]}
    names = tuple(found["categories"][0]["keypoints"])

    def of(data_set: str) -> list[dict[str, Any]]:
        rows = [3 * names.index(name) + 2 for name in EIGHT]
        chosen = [
            a
            for a in found["annotations"]
            if images[a["image_id"]]["dataset"] == data_set and all(a["keypoints"][r] for r in rows)
        ]
        random.Random(SEED).shuffle(chosen)
        return chosen

    lsp = of("lsp")
    held_out = lsp[LEARN : LEARN + HELD_OUT]
    learn = lsp[:LEARN] + lsp[LEARN + HELD_OUT :] + of("lspet")
    own = {name: OWN_NAMES.get(name, name) for name in names}
    same = {name: name for name in names}
    arm = {f"right_{joint}": OWN_NAMES[f"right_{joint}"] for joint in JOINTS[:3]}
    sets = {
        "match": {name: name for name in EIGHT},
        "own": {name: own[name] for name in EIGHT},
        "lsp14": same,
        "arm": arm,
    }
    for name, mapping in sets.items():
        parts = {"test": held_out[:TEST]} | {str(n): learn[:n] for n in COUNTS}
        for part, chosen in parts.items():
            folder = directory / f"{name}_{part}"
            folder.mkdir(parents=True, exist_ok=True)
            write_annotations(folder, chosen, images, names, mapping)
        (directory / f"{name}.json").write_text(json.dumps(skeleton(name, mapping), indent=2))
    ids = "".join(f"{a['id']}\n" for a in held_out)
    (directory / "lsp_held_out.txt").write_text(ids)


def skeleton(name: str, mapping: dict[str, str]) -> dict[str, Any]:
    """A skeleton file of some of LSP's points under other names."""
    center, up = (HIPS, SHOULDERS) if HIPS[0] in mapping else (("right_elbow",), SHOULDERS[1:])
    return {
        "name": name,
        "keypoints": list(mapping.values()),
        "bones": [[mapping[a], mapping[b]] for a, b in BONES_14 if {a, b} <= mapping.keys()],
        "center": [mapping[point] for point in center],
        "up": [mapping[point] for point in up],
    }


def write_annotations(
    folder: Path,
    chosen: list[dict[str, Any]],
    images: dict[int, dict[str, Any]],
    names: tuple[str, ...],
    mapping: dict[str, str],
) -> None:
    """Write COCO's annotations.json of some people with some of their points."""
    columns = [names.index(name) for name in mapping]
    annotations = [
        {
            **{field: a[field] for field in ("id", "image_id", "category_id", "bbox", "area")},
            # Where both of LSP's halves are as large, the names look like the frames of two films.
            "group": str(a["image_id"]),
            "keypoints": np.reshape(a["keypoints"], (-1, 3))[columns].ravel().tolist(),
        }
        for a in chosen
    ]
    pictures = [
        {k: images[a["image_id"]][k] for k in ("id", "file_name", "width", "height", "dataset")}
        for a in chosen
    ]
    category = {"id": 1, "name": "person", "keypoints": list(mapping.values())}
    data = {"images": pictures, "annotations": annotations, "categories": [category]}
    (folder / "annotations.json").write_text(json.dumps(data), encoding="utf-8")


def kind(directory: Path, source: Path, test: Path) -> None:
    """Write folders and lists of people who do not stand; see the module."""
    found = json.loads((source / "annotations.json").read_text(encoding="utf-8"))
    held_out = (Path(__file__).parents[1] / "experiments/lsp_held_out.txt").read_text().split()
    leans = lean(found)
    lying, upright = (
        sorted(i for i in leans if (leans[i] > UPRIGHT) == lies and str(i) not in held_out)
        for lies in (True, False)
    )
    random.Random(SEED).shuffle(lying)
    random.Random(SEED).shuffle(upright)
    sets = {f"kind_{count}": lying[:count] for count in KIND_COUNTS}
    sets |= {f"mixed_{count}": lying[:count] + upright[:count] for count in KIND_COUNTS}
    for name, ids in sets.items():
        wanted = set(ids)
        chosen = [a for a in found["annotations"] if a["id"] in wanted]
        pictures = {a["image_id"] for a in chosen}
        part = {
            "images": [i | {"dataset": "own"} for i in found["images"] if i["id"] in pictures],
            "annotations": chosen,
            "categories": found["categories"],
        }
        folder = directory / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "annotations.json").write_text(json.dumps(part), encoding="utf-8")
        print(f"{folder}: {len(chosen)} people")
    leans = lean(json.loads((test / "annotations.json").read_text(encoding="utf-8")))
    lists = {
        "test": [i for i in leans if leans[i] > UPRIGHT],
        "test_upright": [i for i in leans if leans[i] <= UPRIGHT],
    }
    for name, ids in lists.items():
        (directory / f"{name}.txt").write_text("".join(f"{i}\n" for i in ids))
        print(f"{name}.txt: {len(ids)} people")


def lean(found: dict[str, Any]) -> dict[int, float]:
    """Angle between up and hips to shoulders, radians, by id, where all four are labelled."""
    rows = [found["categories"][0]["keypoints"].index(name) for name in (*SHOULDERS, *HIPS)]
    leans = {}
    for annotation in found["annotations"]:
        x, y, labelled = np.reshape(annotation["keypoints"], (-1, 3))[rows].T
        if labelled.all():
            right, down = x[:2].mean() - x[2:].mean(), y[:2].mean() - y[2:].mean()
            leans[annotation["id"]] = abs(np.arctan2(right, -down))
    return leans


def stick(directory: Path, learn: int, test: int) -> None:
    """Write pictures and annotations of rendered people with a stick; see the module."""
    rng = np.random.default_rng(SEED)
    names = (*EIGHT, "stick_tip")
    rows = list(BLAZEPOSE.indices(EIGHT))
    found = jax.device_get(render_records(jax.random.key(SEED), np.arange(learn + test), side=SIDE))
    for part, numbers in (("learn", range(learn)), ("test", range(learn, learn + test))):
        folder = directory / f"stick_{part}"
        folder.mkdir(parents=True, exist_ok=True)
        images, annotations = [], []
        for i in numbers:
            xy, flags = found.keypoints[i][rows], found.visibility_flags[i][rows]
            torso = np.linalg.norm(xy[:2].mean(0) - xy[6:8].mean(0))
            picture, tip = with_stick(found.pixels[i], xy[3], xy[5], float(torso), rng)
            picture.save(folder / f"{i:04d}.jpg", quality=95)
            inside = bool(((tip >= 0) & (tip < SIDE)).all())
            labels = np.concatenate([np.c_[xy, flags].ravel(), [*tip, 2 if inside else 1]])
            images.append({"id": i, "file_name": f"{i:04d}.jpg", "width": SIDE, "height": SIDE})
            annotations.append(
                {"id": i, "image_id": i, "category_id": 1, "keypoints": labels.round(1).tolist()}
            )
        category = {"id": 1, "name": "person", "keypoints": list(names)}
        data = {"images": images, "annotations": annotations, "categories": [category]}
        (folder / "annotations.json").write_text(json.dumps(data), encoding="utf-8")
    described = skeleton("stick", {name: name for name in EIGHT})
    described |= {"keypoints": list(names), "near": {"stick_tip": ["right_wrist"]}}
    (directory / "stick.json").write_text(json.dumps(described, indent=2))


def with_stick(
    pixels: np.ndarray,
    elbow: np.ndarray,
    hand: np.ndarray,
    torso: float,
    rng: np.random.Generator,
) -> tuple[Image.Image, np.ndarray]:
    """A picture with a stick in the hand, up to 75 degrees off the forearm, and its tip, px.

    Args:
      pixels: (S, S, 3) uint8.
      elbow: (2,) px.
      hand: (2,) px.
      torso: px, its unit of length.
      rng: draws direction, length, thickness and colour.
    """
    forearm = np.arctan2(*(hand - elbow)[::-1])
    angle, length = forearm + np.radians(rng.uniform(-75, 75)), rng.uniform(0.7, 1.0) * torso
    tip = hand + length * np.array([np.cos(angle), np.sin(angle)])
    back = hand - 0.15 * (tip - hand)
    colour = tuple(int(c) for c in rng.integers(0, 256, 3))
    rim = (255, 255, 255) if sum(colour) < 384 else (0, 0, 0)
    large = Image.fromarray(pixels).resize((SIDE * FINE, SIDE * FINE), Image.Resampling.BICUBIC)
    width = FINE * torso * rng.uniform(0.09, 0.14)
    ends = [tuple(FINE * end) for end in (back, tip)]
    draw = ImageDraw.Draw(large)
    # A rim, so that it can be told from any ground.
    draw.line(ends, fill=rim, width=round(1.5 * width))
    draw.line(ends, fill=colour, width=round(width))
    return large.resize((SIDE, SIDE), Image.Resampling.BOX), tip


def compare(before: str, after: str, data: Path, images: Path | None, decode: str) -> None:
    """Print the difference of two nets on the same people; see the module."""
    hits, labelled = [], None
    for weights in (before, after):
        engine = load_engine(weights, None, Settings(decode=decode))
        found = read_annotations(data, evaluation=True, images=images, skeleton=engine.skeleton)
        names = shared_keypoints(engine, found.names)
        torso = choose_torso("lsp", found.names, engine.skeleton)
        one, labelled = hits_by_person(
            predict(engine, found, "truth", found.people), found, names, torso
        )
        hits.append(one)
    assert labelled is not None
    gain, low, high = paired_difference(hits[0], hits[1], labelled)
    rates = [100 * one.sum() / labelled.sum() for one in hits]
    print(
        f"{len(labelled)} people, decode {decode}: PCK@0.2 {rates[0]:.2f} and {rates[1]:.2f},"
        f" difference {gain:+.2f} (95 % {low:+.2f} to {high:+.2f}, bootstrap over people)"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("people", "stick"):
        commands.add_parser(name).add_argument("directory", type=Path)
    commands.add_parser("kind").add_argument("directory", type=Path)
    for name in ("people", "kind"):
        commands.choices[name].add_argument("--source", type=Path, required=True)
    commands.choices["kind"].add_argument("--test", type=Path, required=True)
    commands.choices["stick"].add_argument("--learn", type=int, default=300)
    commands.choices["stick"].add_argument("--test", type=int, default=100)
    comparison = commands.add_parser("compare")
    comparison.add_argument("before")
    comparison.add_argument("after")
    comparison.add_argument("--data", type=Path, required=True)
    comparison.add_argument("--images", type=Path)
    comparison.add_argument("--decode", default="refine")
    args = parser.parse_args()
    if args.command == "people":
        people(args.directory, args.source)
    elif args.command == "kind":
        kind(args.directory, args.source, args.test)
    elif args.command == "stick":
        stick(args.directory, args.learn, args.test)
    else:
        compare(args.before, args.after, args.data, args.images, args.decode)


if __name__ == "__main__":
    main()
