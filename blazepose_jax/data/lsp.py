"""Leeds Sports Pose and LSP Extended: people of the original archives."""

import zipfile
from pathlib import Path

import numpy as np

from blazepose_jax.data.annotations import (
    LSP_EXTENDED,
    Annotations,
    Person,
    Reasons,
    in_names_of,
)
from blazepose_jax.data.matlab import read_matrix
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.skeleton import BLAZEPOSE, LSP, Skeleton

TRAIN = 1000  # the first images of LSP; the others are its test half
SPLITS = ("train", "test", "all")
MAX_UNPACKED = 2**30  # bytes
FAR = 20_000  # px; no picture of LSP has 2,000


def unpack(source: Path, folder: Path) -> Path:
    """The folder that holds joints.mat: the source itself, or where its archive was unpacked.

    Args:
      source: a folder or a .zip.
      folder: where to unpack.

    Raises:
      BlazePoseError: no archive, or one without joints.mat.
    """
    if source.is_dir():
        root = source
    else:
        unpack_pictures(source, folder)
        root = folder
    found = sorted(root.rglob("joints.mat"))
    if not found:
        raise BlazePoseError(
            f"{str(source)!r} has no joints.mat: give LSP's or LSP Extended's archive"
        )
    return found[0].parent


def unpack_pictures(source: Path, folder: Path) -> None:
    """Unpack joints.mat and the JPEGs of a zip archive, and nothing else of it.

    Raises:
      BlazePoseError: no archive, damaged, or larger than any of LSP's.
    """
    total = 0
    try:
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                name = Path(info.filename.replace("\\", "/"))
                if name.name != "joints.mat" and name.suffix.lower() not in (".jpg", ".jpeg"):
                    continue
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise BlazePoseError(
                        f"{str(source)!r} packs {info.filename!r} by method {info.compress_type}: "
                        "stored and deflated members can be read in bounded memory, others not"
                    )
                place = folder / ("" if name.name == "joints.mat" else "images") / name.name
                place.parent.mkdir(exist_ok=True)
                with archive.open(info) as packed, place.open("wb") as file:
                    while block := packed.read(2**20):
                        total += len(block)
                        if total > MAX_UNPACKED:
                            raise BlazePoseError(
                                f"{str(source)!r} unpacks to more than {MAX_UNPACKED} bytes: LSP "
                                "Extended has a third of that; fetch the archive again"
                            )
                        file.write(block)
    except BlazePoseError:
        raise
    # Of zipfile and of whatever unpacks a member: zlib, encryption, text encodings, ...
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise BlazePoseError(
            f"{str(source)!r} is no folder and no zip archive ({reason}): give LSP's or LSP "
            "Extended's archive, or the folder it was unpacked to"
        ) from error


def read_lsp(folder: Path, split: str = "train", skeleton: Skeleton = BLAZEPOSE) -> Annotations:
    """Read joints.mat and the images beside it.

    The third row means opposite things: *occluded* in LSP, *labelled* in LSP Extended. The two are
    distinguished by the order of axes: (3, 14, n) and (14, 3, n).

    Args:
      folder: with joints.mat and images/.
      split: ``train`` (LSP's first 1,000 images; all of LSP Extended), ``test`` or ``all``.
      skeleton: whose names LSP's points get where they are the same points of the body.

    Returns:
      Annotations of LSP's 14 points; coordinates are counted from 0.

    Raises:
      BlazePoseError: an unknown split, a damaged or foreign joints.mat, nobody usable.
    """
    check_name(split, SPLITS, "split")
    try:
        joints = read_matrix((folder / "joints.mat").read_bytes(), "joints")
    except (OSError, ValueError) as error:
        raise BlazePoseError(
            f"{folder / 'joints.mat'} cannot be read ({error}): fetch the archive again"
        ) from error
    extended = joints.shape[:2] == (14, 3)
    if joints.ndim != 3 or not (extended or joints.shape[:2] == (3, 14)):
        raise BlazePoseError(
            f"{folder / 'joints.mat'} has the shape {joints.shape}: LSP's is (3, 14, n), LSP "
            "Extended's (14, 3, n)"
        )
    rows = joints.transpose(2, 0, 1) if extended else joints.transpose(2, 1, 0)  # (n, 14, 3)
    people: list[Person] = []
    dropped: Reasons = {}
    for i, row in enumerate(rows):
        if not _is_in_split(i, extended, split):
            continue
        found = _read_person(folder, i + 1, row, extended)
        if isinstance(found, Person):
            people.append(found)
        else:
            dropped.setdefault(found, []).append(i + 1)
    if not people:
        raise BlazePoseError(
            f"{folder}: nobody usable in split {split!r} ({', '.join(dropped) or 'it is empty'}): "
            "check the images beside joints.mat"
        )
    return in_names_of(Annotations(LSP.keypoints, tuple(people), dropped), skeleton)


def _is_in_split(i: int, extended: bool, split: str) -> bool:
    if extended:
        return split != "test"
    return split == "all" or (i < TRAIN) == (split == "train")


def _read_person(folder: Path, number: int, row: np.ndarray, extended: bool) -> Person | str:
    """The person of a (14, 3) row, or why there is none; images are numbered from 1."""
    third = row[:, 2] > 0.5
    labelled = third if extended else np.ones(14, bool)
    flags = np.where(labelled, np.where(third & (not extended), 1, 2), 0).astype(np.int32)
    points = np.where(labelled[:, None], row[:, :2] - 1, 0).astype(np.float32)
    files = [folder / "images" / f"im{number:0{digits}d}.jpg" for digits in (4, 5)]
    image = next((file for file in files if file.is_file()), None)
    if image is None:
        return "image file missing"
    if not (np.isfinite(points).all() and np.isfinite(row[:, 2]).all()):
        return "NaN or infinite coordinates"
    if np.abs(points).max() > FAR:
        return "coordinates far outside"
    if not labelled.any():
        return "no labelled keypoint"
    area = float(np.ptp(points[labelled], axis=0).prod())
    data_set = LSP_EXTENDED if extended else "lsp"
    return Person(number, image, points, flags, area, data_set, label=str(number))
