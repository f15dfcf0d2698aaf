"""Damaged files by the thousand.

A seeded mutator over valid files of every kind that the package reads.

    python tests/fuzz/fuzzing.py [--inputs 10000] [--seed 0] [--only NAME]

Every input must be read, or refused by a BlazePoseError of one line. Files are read in child
processes: one that dies is a fault, and so is one that takes longer than ``SECONDS`` for ``CHUNK``
inputs. ``make fuzz`` runs this; the suite runs a few inputs a parser.
"""

import argparse
import copy
import functools
import gzip
import io
import json
import multiprocessing
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from blazepose_jax.skeleton import Skeleton

CHUNK = 1000  # inputs a child process reads
SECONDS = 1800.0  # for a chunk
INTERESTING = (0, 1, 2, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
JSON_VALUES = (
    None,
    True,
    -1,
    0,
    3.5,
    1e308,
    2**70,
    "",
    "x",
    "\\ud800",
    [],
    {},
    [[]],
    float("nan"),
    "../../etc/passwd",
)


def mutate_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, overwrite, cut, repeat or swap parts of a file."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(out))) if out else 0
        kind = rng.integers(7)
        if not out:
            break
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[at : at + 4] = struct.pack("<I", INTERESTING[rng.integers(len(INTERESTING))])[
                : len(out) - at
            ]
        elif kind == 2:
            out[at : at + 2] = struct.pack(">H", INTERESTING[rng.integers(9)] & 0xFFFF)[
                : len(out) - at
            ]
        elif kind == 3:
            del out[at:]
        elif kind == 4:
            length = int(rng.integers(1, 64))
            out[at:at] = out[at : at + length]
        elif kind == 5:
            out[at : at + 8] = rng.bytes(len(out[at : at + 8]))
        else:
            out[at : at + int(rng.integers(1, 64))] = b""
    return bytes(out)


def mutate_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Put a strange value somewhere into the tree, or damage the text."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    tree = json.loads(data)
    for _ in range(int(rng.integers(1, 4))):
        node, holder, key = tree, None, None
        while isinstance(node, dict | list) and node and (holder is None or rng.random() < 0.8):
            holder = node
            key = (
                list(node)[rng.integers(len(node))]
                if isinstance(node, dict)
                else int(rng.integers(len(node)))
            )
            node = node[key]
        if holder is None:
            break
        if rng.random() < 0.2:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(JSON_VALUES[rng.integers(len(JSON_VALUES))])
    return json.dumps(tree).encode()


class Parser:
    """One kind of file: how a valid one is made, damaged and read."""

    def __init__(
        self,
        name: str,
        valid: Callable[[], list[bytes]],
        read: Callable[[Path], object],
        suffix: str,
        mutate: Callable[[bytes, np.random.Generator], bytes] = mutate_bytes,
    ):
        """``valid()`` makes files, ``read(path)`` reads one of them from disk."""
        self.name, self.valid, self.read, self.suffix, self.mutate = (
            name,
            valid,
            read,
            suffix,
            mutate,
        )


@functools.cache
def picture_files() -> list[bytes]:
    """Small pictures of many formats."""
    from PIL import Image

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8))
    frames = [Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)) for _ in range(3)]
    exif = Image.Exif()
    exif[0x0112] = 6
    found = []
    for form, more in (
        ("JPEG", {"exif": exif}),
        ("PNG", {}),
        ("GIF", {"save_all": True, "append_images": frames}),
        ("WEBP", {"save_all": True, "append_images": frames}),
        ("TIFF", {"exif": exif}),
        ("BMP", {}),
        ("PPM", {}),
        ("AVIF", {}),
        ("JPEG2000", {}),
        ("TGA", {}),
        ("ICO", {}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, form, **more)
        found.append(buffer.getvalue())
    buffer = io.BytesIO()
    Image.fromarray(rng.random((8, 8), np.float32)).save(buffer, "TIFF")
    return [*found, buffer.getvalue()]


def film_files() -> list[bytes]:
    """Small films in several containers."""
    import av

    found = []
    for form, codec in (
        ("mp4", "libx264"),
        ("matroska", "mpeg4"),
        ("mpegts", "mpeg2video"),
        ("avi", "mpeg4"),
    ):
        with tempfile.NamedTemporaryFile(suffix=".film") as file:
            with av.open(file.name, "w", format=form) as container:
                stream = container.add_stream(codec, rate=25)
                stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
                # Of five, a probe of MPEG-TS sees no stream.
                for i in range(10):
                    frame = av.VideoFrame.from_ndarray(
                        np.full((48, 64, 3), 25 * i, np.uint8), format="rgb24"
                    )
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
            found.append(Path(file.name).read_bytes())
    return found


def annotation_files() -> list[bytes]:
    """A COCO keypoints file, and one that a teacher has labelled too."""
    rows = [[10 + i, 20 + i, 2] for i in range(17)]
    from blazepose_jax.skeleton import COCO

    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}],
        "categories": [
            {"id": 1, "name": "person", "keypoints": list(COCO.keypoints), "flip_indices": [0] * 17}
        ],
        "annotations": [
            {
                "id": i,
                "image_id": 1,
                "category_id": 1,
                "keypoints": np.ravel(rows).tolist(),
                "bbox": [1, 2, 9, 9],
                "area": 81,
                "iscrowd": 0,
            }
            for i in range(3)
        ],
    }
    plain = json.dumps(data).encode()
    for row in data["annotations"][1:]:
        row["teacher"] = {
            "by_hand": [1] * 9 + [0] * 8,
            "confidences": [0.5] * 17,
            "visibilities": [0.9] * 17,
            "z": [1.5] * 17,
            "world": [0.25] * 51,
            "roi": [16.0, 12.0, 20.0, 0.1],
            "quality": 0.8,
        }
        row["segmentation"] = {"size": [24, 32], "counts": [100, 50, 618]}
    return [plain, json.dumps(data).encode()]


def skeleton_files() -> list[bytes]:
    """Skeletons as their files hold them."""
    from blazepose_jax.skeleton import SKELETONS

    return [json.dumps(skeleton.to_dict()).encode() for skeleton in SKELETONS.values()]


def matrix_files() -> list[bytes]:
    """joints.mat, packed and not."""
    from scipy.io import savemat

    found = []
    for packed in (False, True):
        buffer = io.BytesIO()
        savemat(
            buffer, {"joints": np.arange(3 * 14 * 4.0).reshape(3, 14, 4)}, do_compression=packed
        )
        found.append(buffer.getvalue())
    return found


def task_files() -> list[bytes]:
    """A zip of the two members of a .task, as they are named."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("pose_detector.tflite", "pose_landmarks_detector.tflite"):
            archive.writestr(name, bytes(200))
    return [buffer.getvalue()]


def archive_files() -> list[bytes]:
    """LSP's archive of one person, packed and not."""
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("lsp/joints.mat", matrix_files()[0])
            archive.writestr("lsp/images/im0001.jpg", picture_files()[0])
        found.append(buffer.getvalue())
    return found


def npm_files() -> list[bytes]:
    """A .tgz of one pose net, as it is named."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/pose_landmark_heavy.tflite")
        member.size = 200
        archive.addfile(member, io.BytesIO(bytes(200)))
    return [buffer.getvalue(), gzip.decompress(buffer.getvalue())]


def tensor_files() -> list[bytes]:
    """Weights of nothing in particular."""
    from safetensors.numpy import save

    return [save({"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 3), np.float16)})]


@functools.cache
def stored_networks() -> dict[str, bytes]:
    """A weights directory of both networks, small and all zeros: name -> bytes."""
    import jax

    from blazepose_jax.models import FOLDED, LayerConfig, create_model
    from blazepose_jax.skeleton import COCO
    from blazepose_jax.weights import StoredNetwork, save_weights

    def network(name: str, form: str, skeleton: Skeleton | None, **arguments: object):
        model = create_model(name, FOLDED if form == "folded" else LayerConfig(), **arguments)
        shapes = jax.eval_shape(
            lambda: model.init(jax.random.key(0), np.zeros((1, 128, 128, 3)), train=False)
        )
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        return StoredNetwork(name, form, zeros, arguments, "", "", skeleton)

    pose = {"keypoints": 17, "side": 128, "fields": ("x", "y"), "heads": ()}
    networks = {
        "pose": network("smoke", "batch", COCO, **pose),
        "detector": network("smoke_detector", "folded", None),
    }
    with tempfile.TemporaryDirectory() as folder:
        save_weights(Path(folder) / "w", networks)
        return {path.name: path.read_bytes() for path in (Path(folder) / "w").iterdir()}


def model_files() -> list[bytes]:
    """model.json of a directory with both networks."""
    return [stored_networks()["model.json"]]


@functools.cache
def stored_records() -> dict[str, bytes]:
    """A records folder of one person: name -> bytes."""
    from blazepose_jax.data.labels import person_row
    from blazepose_jax.data.records import write_records
    from blazepose_jax.skeleton import COCO
    from blazepose_jax.structs import ROI

    points = np.full((17, 2), 8, np.float32)
    row = person_row(
        picture_files()[0],
        points,
        np.full(17, 2, np.int32),
        ROI(points[0], np.float32(9), np.float32(0)),
        number=1,
        group=1,
        weight=1.0,
        has_occlusion_labels=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_records([row], COCO, Path(folder) / "r", size=16, source="", dropped={})
        return {path.name: path.read_bytes() for path in (Path(folder) / "r").iterdir()}


def records_files() -> list[bytes]:
    """records.json."""
    return [stored_records()["records.json"]]


def tflite_files() -> list[bytes]:
    """Small networks as LiteRT runs them, and Google's where they are."""
    import os

    import jax
    import jax.numpy as jnp

    from blazepose_jax.export.convert import to_tflite
    from blazepose_jax.export.graph import make_graph
    from blazepose_jax.models import FOLDED, create_model
    from blazepose_jax.weights import StoredNetwork

    shared = Path(
        os.environ.get("BLAZEPOSE_SHARED", Path(__file__).resolve().parents[3] / "shared")
    )
    released = sorted((shared / "models").glob("pose_landmark_lite.tflite"))
    if released:
        return [path.read_bytes() for path in released]
    model = create_model("smoke_detector", FOLDED)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 128, 128, 3)), train=False)
    net = StoredNetwork("smoke_detector", "folded", jax.device_get(variables), {}, "", "")
    return [to_tflite(make_graph(net), backend="litert")]


def _read_media(path: Path) -> object:
    from blazepose_jax.io.media import read_media

    return [picture.image.shape for picture in read_media(path)]


def _read_tflite(path: Path) -> object:
    from blazepose_jax.inference.litert import LiteRTModel
    from blazepose_jax.weights import TFLiteFile

    model = LiteRTModel(TFLiteFile(path.read_bytes()), path.name, 1)
    return model(np.zeros((1, model.side, model.side, 3), np.float32))


def _put_beside(path: Path, files: dict[str, bytes]) -> None:
    """Whole files that a damaged one refers to, written once."""
    for name, data in files.items():
        if not (path.parent / name).exists():
            (path.parent / name).parent.mkdir(exist_ok=True)
            (path.parent / name).write_bytes(data)


def _read_records(path: Path) -> object:
    from blazepose_jax.data.records import open_records

    _put_beside(path, stored_records())
    (path.parent / "records.json").write_bytes(path.read_bytes())
    return open_records(path.parent)


def _read_model(path: Path) -> object:
    from blazepose_jax.weights import read_stored

    _put_beside(path, stored_networks())
    (path.parent / "model.json").write_bytes(path.read_bytes())
    return read_stored(path.parent)


def _read_labels(path: Path) -> object:
    from blazepose_jax.errors import BlazePoseError
    from blazepose_jax.io.tensors import load_tensors

    try:
        return load_tensors(path)
    except ValueError as error:  # the callers' errors say it in their words
        raise BlazePoseError(str(error)) from error


def _read_annotations(path: Path) -> object:
    from PIL import Image

    from blazepose_jax.data.coco import read_annotations

    if not (path.parent / "a.png").exists():
        Image.new("RGB", (32, 24)).save(path.parent / "a.png")
    return read_annotations(path)


def _read_skeleton(path: Path) -> object:
    from blazepose_jax.io.json_files import read_json
    from blazepose_jax.skeleton import Skeleton

    skeleton = Skeleton.from_dict(read_json(path))
    return skeleton.flip, skeleton.sides, skeleton.describe_sides()


def _read_matrix(path: Path) -> object:
    from blazepose_jax.data.lsp import read_lsp

    _put_beside(path, {"images/im0001.jpg": picture_files()[0]})
    (path.parent / "joints.mat").write_bytes(path.read_bytes())
    return read_lsp(path.parent, "all")


def _read_task(path: Path) -> object:
    from blazepose_jax.weights.archive import read_task

    return read_task(path)


def _read_npm(path: Path) -> object:
    from blazepose_jax.weights.archive import read_npm

    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":  # else hardly any damage would get past gzip's checksum
        path.write_bytes(gzip.compress(data, 1))
    return read_npm(path, "heavy")


def _read_archive(path: Path) -> object:
    from blazepose_jax.data.lsp import unpack

    with tempfile.TemporaryDirectory() as folder:
        return unpack(path, Path(folder))


PARSERS = {
    p.name: p
    for p in (
        Parser("pictures", picture_files, _read_media, ".img"),
        Parser("films", film_files, _read_media, ".film"),
        Parser("annotations", annotation_files, _read_annotations, ".json", mutate_json),
        Parser("skeletons", skeleton_files, _read_skeleton, ".json", mutate_json),
        Parser("model.json", model_files, _read_model, ".json", mutate_json),
        Parser("records.json", records_files, _read_records, ".json", mutate_json),
        Parser("tensors", tensor_files, _read_labels, ".safetensors"),
        Parser("joints.mat", matrix_files, _read_matrix, ".mat"),
        Parser("task", task_files, _read_task, ".task"),
        Parser("npm", npm_files, _read_npm, ".tgz"),
        Parser("archive", archive_files, _read_archive, ".zip"),
        Parser("tflite", tflite_files, _read_tflite, ".tflite"),
    )
}


def read_damaged(name: str, valid: list[bytes], seed: int, numbers: range) -> list[str]:
    """Read the damaged files of these numbers in this process; what went wrong, a line each."""
    from blazepose_jax.errors import BlazePoseError

    parser, faults = PARSERS[name], []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in numbers:
            rng = np.random.default_rng((seed, number))
            path = Path(folder) / f"damaged{parser.suffix}"
            path.write_bytes(parser.mutate(valid[number % len(valid)], rng))
            try:
                parser.read(path)
            except BlazePoseError as error:
                if "\n" in str(error):
                    faults.append(f"{name} {number}: several lines: {str(error)!r:.200}")
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                faults.append(
                    f"{name} {number}: {type(error).__name__}: {error!s:.100} "
                    f"({where.filename}:{where.lineno})"
                )
    return faults


def _child(
    name: str,
    valid: list[bytes],
    seed: int,
    numbers: range,
    queue: "multiprocessing.Queue[list[str]]",
) -> None:
    queue.put(read_damaged(name, valid, seed, numbers))


def fuzz(name: str, inputs: int, seed: int = 0, *, children: bool = True) -> list[str]:
    """Read damaged files of one kind; what went wrong, a line each.

    Args:
      name: a key of ``PARSERS``.
      inputs: how many.
      seed: of the damage.
      children: in child processes, so that a crash of native code is a fault and not the end.
    """
    valid = PARSERS[name].valid()
    if not children:
        return read_damaged(name, valid, seed, range(inputs))
    context, faults = multiprocessing.get_context("spawn"), []
    for start in range(0, inputs, CHUNK):
        numbers = range(start, min(start + CHUNK, inputs))
        queue = context.Queue()
        child = context.Process(target=_child, args=(name, valid, seed, numbers, queue))
        child.start()
        deadline, found = time.monotonic() + SECONDS, None
        while (
            found is None
            and time.monotonic() < deadline
            and (child.is_alive() or not queue.empty())
        ):
            try:
                found = queue.get(timeout=0.5)
            except Exception:
                continue
        child.join(5)
        if found is not None:
            faults += found
        elif child.is_alive():
            child.kill()
            faults.append(f"{name} {numbers}: a hang")
        else:
            faults.append(f"{name} {numbers}: the process died with {child.exitcode}")
    return faults


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000, help="a parser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one parser")
    args = parser.parse_args()
    total = 0
    for name in [args.only] if args.only else PARSERS:
        began = time.monotonic()
        faults = fuzz(name, args.inputs, args.seed)
        total += len(faults)
        print(
            f"{name}: {args.inputs} inputs, {len(faults)} faults, {time.monotonic() - began:.0f} s",
            flush=True,
        )
        for line in sorted(set(faults))[:20]:
            print(f"  {line}", flush=True)
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
