"""``model.json`` of a weights directory: what each network is, and which files hold it."""

import json
import re
from pathlib import Path
from typing import Any

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import write_text
from blazepose_jax.io.json_files import read_json
from blazepose_jax.models import MODELS, TEST_MODELS, check_arguments, spec_of
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton

NAME = "model.json"
FORMAT = "blazepose_jax weights 1"
KINDS = ("detector", "pose")
NORMS = ("batch", "folded")
RELEASED_ROWS = len(BLAZEPOSE.keypoints) + len(BLAZEPOSE.auxiliary)
MAX_DESCRIPTION = 2**24  # bytes
MAX_NAME = 200  # characters of a file's name
# Fields that are text -> whether a description must have them.
TEXTS = {
    "model": True,
    "form": True,
    "file": False,
    "sha256": False,
    "tflite": False,
    "tflite_sha256": False,
    "source": False,
    "licence": False,
    "changes": False,
}
# A network's description: the texts above, and ``arguments``, ``skeleton`` and, for a network of an
# experiment file, ``experiment`` as objects.
Entry = dict[str, Any]


def write_description(directory: Path, networks: dict[str, Entry]) -> None:
    """Write ``model.json``.

    Args:
      directory: where.
      networks: descriptions by kind.
    """
    text = json.dumps({"format": FORMAT, "networks": networks}, indent=2) + "\n"
    write_text(directory / NAME, text)


def read_description(directory: Path) -> dict[str, Entry]:
    """Read and check the descriptions of a directory's networks, by kind.

    Raises:
      BlazePoseError: no weights directory, or a damaged description.
    """
    path = Path(directory) / NAME
    if not path.is_file():
        raise BlazePoseError(
            f"{directory} is no weights directory (it has no model.json): make one with "
            "blazepose import"
        )
    description = read_json(path, MAX_DESCRIPTION)
    is_object = isinstance(description, dict)
    found = description.get("format") if is_object else type(description).__name__
    if found != FORMAT:
        raise BlazePoseError(
            f"{path} has the format {repr(found)[:40]}, this version reads {FORMAT!r}: import or "
            "train the weights again"
        )
    networks = description.get("networks")
    if not isinstance(networks, dict) or not networks:
        raise _damaged(path, "it describes no networks")
    for kind, entry in networks.items():
        _check_entry(kind, entry, path)
    return networks


def _check_entry(kind: str, entry: object, path: Path) -> None:
    """Check the description of one network.

    Raises:
      BlazePoseError: a field is missing or mistyped, names a file elsewhere, or describes no known
        network.
    """
    if not isinstance(entry, dict):
        raise _damaged(path, f"the {kind} is {type(entry).__name__}")
    for field, needed in TEXTS.items():
        if not isinstance(entry.get(field, None if needed else ""), str):
            value = f"{entry.get(field)!r:.40}"
            raise _damaged(path, f"{field!r} of the {kind} is {value}, not text")
    is_own = "experiment" in entry
    if is_own:
        _check_reference(kind, entry, path)
    if (
        kind not in KINDS
        or entry["form"] not in NORMS
        or not (is_own or spec_of(entry["model"]).kind == kind)
    ):
        raise BlazePoseError(
            f"{path} describes the {kind} {entry['model']!r} in form {entry['form']!r}: "
            "this version knows no such network"
        )
    for field in ("file", "tflite"):
        if field in entry and not _is_plain_name(entry[field]):
            raise BlazePoseError(
                f"{path} names the {field} {entry[field]!r}: it must be a file in the same folder"
            )
    arguments = entry.get("arguments", {})
    if not isinstance(arguments, dict):
        raise _damaged(path, f"the {kind}'s arguments are {type(arguments).__name__}")
    if not is_own:
        # Of others when their file was named and run.
        check_arguments(entry["model"], arguments)
    if "skeleton" in entry:
        skeleton = Skeleton.from_dict(entry["skeleton"])
        rows = len(skeleton.keypoints) + len(skeleton.auxiliary)
        predicted = arguments.get("keypoints", RELEASED_ROWS)
        if predicted != rows:
            raise _damaged(path, f"the skeleton has {rows} rows, the net {predicted}")


def _check_reference(kind: str, entry: Entry, path: Path) -> None:
    """Check what is said of the experiment file that brings a network.

    Raises:
      BlazePoseError: no name and sha256, or the network is of the zoo.
    """
    found = entry["experiment"]
    told = found if isinstance(found, dict) else {}
    file, sha256 = (str(told.get(field, "")) for field in ("file", "sha256"))
    if not (_is_plain_name(file) and re.fullmatch("[0-9a-f]{64}", sha256)):
        raise _damaged(path, f"the {kind}'s experiment is {found!r:.60}, not a file and its sha256")
    if entry["model"] in MODELS or entry["model"] in TEST_MODELS:
        raise _damaged(path, f"{entry['model']!r} is of the package, not of {file!r}")


def _is_plain_name(name: str) -> bool:
    """Whether this names a file in the directory itself, on every system."""
    return (
        bool(name)
        and Path(name).name == name
        and "\\" not in name
        and name.isprintable()
        and len(name) <= MAX_NAME
    )


def _damaged(path: Path, why: str) -> BlazePoseError:
    return BlazePoseError(f"{path} is damaged ({why}): import the weights again")
