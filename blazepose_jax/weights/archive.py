"""MediaPipe's archives, .task bundles, wheels and npm packages; nothing is unpacked to disk."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

from blazepose_jax.errors import BlazePoseError

# docs/mediapipe.md, 4.1.
TASK_MEMBERS = {"detector": "pose_detector.tflite", "pose": "pose_landmarks_detector.tflite"}
# Where the wheels up to mediapipe 0.10.21 keep their models; newer wheels ship none.
WHEEL_MEMBERS = {
    "detector": "mediapipe/modules/pose_detection/pose_detection.tflite",
    "pose": "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
}
# The pose nets of the npm package @mediapipe/pose, the default first; it holds no detector.
NPM_MEMBERS = {name: f"package/pose_landmark_{name}.tflite" for name in ("heavy", "full", "lite")}
MAX_MEMBER_BYTES = 128 * 2**20  # Heavy has 28 MB
MAX_TAR_BYTES = 256 * 2**20  # the package has 69 MB


def read_task(path: Path) -> dict[str, bytes]:
    """Read a MediaPipe .task bundle.

    Returns:
      {"detector": bytes, "pose": bytes}.

    Raises:
      BlazePoseError: no zip, compressed, unsafe names, huge or missing members.
    """
    return _read(
        path,
        TASK_MEMBERS,
        stored=True,
        missing="a pose .task holds pose_detector.tflite and pose_landmarks_detector.tflite",
    )


def read_wheel(path: Path) -> dict[str, bytes]:
    """Read the two pose models inside a mediapipe wheel.

    Returns:
      {"detector": bytes, "pose": bytes}.

    Raises:
      BlazePoseError: no zip, unsafe names, huge members, or a wheel without models.
    """
    return _read(
        path,
        WHEEL_MEMBERS,
        stored=False,
        missing="newer wheels ship no models; give mediapipe==0.10.21's",
    )


def read_npm(path: Path, pose: str) -> dict[str, bytes]:
    """Read one of the pose models inside the npm package @mediapipe/pose.

    Args:
      path: of the .tgz.
      pose: a key of ``NPM_MEMBERS``.

    Returns:
      {"pose": bytes}.

    Raises:
      BlazePoseError: no .tgz, too large, or one without this model.
    """
    return {"pose": _read_tar(path, NPM_MEMBERS[pose])}


def read_member(path: Path, member: str) -> bytes:
    """Read a file of a wheel or an npm package.

    Args:
      path: of the .whl or .tgz.
      member: its path inside of it.

    Raises:
      BlazePoseError: no such archive, or one without it.
    """
    if path.suffix == ".tgz":
        return _read_tar(path, member)
    return _read(path, {member: member}, stored=False, missing="fetch the file again")[member]


def _read_tar(path: Path, name: str) -> bytes:
    try:
        # As a whole: tarfile would follow whatever sizes the headers declare.
        with gzip.open(path) as stream:
            data = stream.read(MAX_TAR_BYTES + 1)
        if len(data) > MAX_TAR_BYTES:
            raise BlazePoseError(
                f"{path} unpacks to more than {MAX_TAR_BYTES} bytes: fetch the file again"
            )
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            member = next((m for m in archive if m.name == name and m.isreg()), None)
            if member is None:
                raise BlazePoseError(
                    f"{path} lacks {name}: give the npm package @mediapipe/pose 0.5.1675469404"
                )
            return archive.extractfile(member).read()
    except BlazePoseError:
        raise
    # Of gzip, zlib and tarfile.
    except Exception as error:
        raise BlazePoseError(
            f"{path} is no readable .tgz ({error or type(error).__name__}): fetch the file again"
        ) from error


def _read(path: Path, members: dict[str, str], *, stored: bool, missing: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            for info in entries.values():
                _check_member(path, info, info.filename in members.values(), stored)
            if lacking := [name for name in members.values() if name not in entries]:
                raise BlazePoseError(f"{path} lacks {lacking[0]}: {missing}")
            return {kind: _read_member(path, archive, name) for kind, name in members.items()}
    except BlazePoseError:
        raise
    # Of zipfile and of whatever unpacks a member: zlib, text encodings, ...
    except Exception as error:
        raise BlazePoseError(
            f"{path} is no readable zip archive ({error or type(error).__name__}): fetch the file "
            "again"
        ) from error


def _check_member(path: Path, info: zipfile.ZipInfo, needed: bool, stored: bool) -> None:
    name = info.filename
    if name.startswith(("/", "\\")) or ".." in Path(name.replace("\\", "/")).parts:
        raise BlazePoseError(
            f"{path} holds the unsafe name {name!r}: names must stay inside of the archive"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BlazePoseError(
            f"{path} packs {name} by method {info.compress_type}: stored and deflated "
            "members can be read in bounded memory, others not"
        )
    if needed and info.file_size > MAX_MEMBER_BYTES:
        raise BlazePoseError(
            f"{path} declares {info.file_size} bytes for {name}: at most "
            f"{MAX_MEMBER_BYTES} are read; fetch the file again"
        )
    if stored and info.compress_type != zipfile.ZIP_STORED:
        raise BlazePoseError(
            f"{path} is compressed ({name}): MediaPipe maps .task files, so store them with zip -0"
        )


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member, whose size in the archive's directory may be wrong."""
    with archive.open(name) as member:
        data = member.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise BlazePoseError(
            f"{path} holds more than {MAX_MEMBER_BYTES} bytes in {name}: fetch the file again"
        )
    return data
