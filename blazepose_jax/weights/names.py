"""Weights by name: what each name stands for, and which package holds its files."""

import dataclasses

from blazepose_jax.errors import check_name


@dataclasses.dataclass(frozen=True)
class Package:
    """A version of a package that holds networks.

    Attributes:
      manager: what fetches it, ``pip`` or ``npm``.
      requirement: name and version, in the manager's spelling.
      file: pattern of the name of what is fetched.
      size: bytes of that.
      how: command by which a person fetches it.
    """

    manager: str
    requirement: str
    file: str
    size: int
    how: str

    @property
    def megabytes(self) -> int:
        """Rounded up."""
        return -(-self.size // 10**6)


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A network's file inside of a package.

    Attributes:
      package: that holds it.
      member: its path there.
      sha256: of its content.
      size: bytes.
    """

    package: Package
    member: str
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class Release:
    """Weights with a name.

    Attributes:
      name: permanent; experiments and tables use it.
      model: a key of ``MODELS``: the pose net, or the detector where there is none.
      files: by kind, the detector first; none of weights that ship with this package.
      licence: of the weights.
      trained_on: the data, in words.
      score: PCK@0.2 in percent by ``PROTOCOL``; None for a detector.
      detector: name of the weights that bring the detector, where these hold none of their own.
      changes: what was changed of other people's files.
    """

    name: str
    model: str
    files: dict[str, SourceFile]
    licence: str
    trained_on: str
    score: float | None
    detector: str | None = None
    changes: str = ""

    @property
    def packages(self) -> list[Package]:
        """Those that hold its files."""
        return list(dict.fromkeys(file.package for file in self.files.values()))


# The last wheel that holds models. Any platform's holds the same; this one exists whatever Python
# runs here.
WHEEL_TAGS = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11")
WHEEL = Package(
    "pip",
    "mediapipe==0.10.21",
    "mediapipe-0.10.21-*.whl",
    35_622_638,
    "pip download mediapipe==0.10.21 --no-deps --only-binary=:all: " + " ".join(WHEEL_TAGS),
)
# The wheel holds Full alone; this one all three pose nets, and no detector.
NPM = Package(
    "npm",
    "@mediapipe/pose@0.5.1675469404",
    "mediapipe-pose-0.5.1675469404.tgz",
    40_985_403,
    "npm pack @mediapipe/pose@0.5.1675469404",
)
DETECTOR = SourceFile(
    WHEEL,
    "mediapipe/modules/pose_detection/pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    2_959_046,
)
FULL = SourceFile(
    WHEEL,
    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    6_440_512,
)
LITE = SourceFile(
    NPM,
    "package/pose_landmark_lite.tflite",
    "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
    2_819_824,
)
HEAVY = SourceFile(
    NPM,
    "package/pose_landmark_heavy.tflite",
    "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
    27_709_200,
)
LICENCE = "Apache-2.0 (Google, MediaPipe)"
LICENCE_LSP = f"{LICENCE} of the weights that it began with; the photographs state no licence"
TRAINED_ON = "Google's own pictures, not published"
# docs/results.md, "Google's nets on people".
PROTOCOL = "PCK@0.2, LSP's test half, ROI from the truth, decode refine, LiteRT runtime"

RELEASES = {
    "released-full": Release(
        "released-full", "full", {"detector": DETECTOR, "pose": FULL}, LICENCE, TRAINED_ON, 87.9
    ),
    "released-lite": Release(
        "released-lite", "lite", {"detector": DETECTOR, "pose": LITE}, LICENCE, TRAINED_ON, 83.4
    ),
    "released-heavy": Release(
        "released-heavy", "heavy", {"detector": DETECTOR, "pose": HEAVY}, LICENCE, TRAINED_ON, 91.5
    ),
    "released-detector": Release(
        "released-detector", "detector", {"detector": DETECTOR}, LICENCE, TRAINED_ON, None
    ),
    # Trained here; weights/packaged/NAME/card.md says how, on what, and what it is worth.
    "detector.lsp": Release(
        "detector.lsp",
        "detector",
        {},
        LICENCE_LSP,
        "LSP and LSP Extended, from Google's detector",
        None,
        changes="pose_detection.tflite of MediaPipe: all weights trained further",
    ),
    "full.lsp": Release(
        "full.lsp",
        "full",
        {},
        LICENCE_LSP,
        "LSP and LSP Extended, from Google's Full",
        89.1,
        detector="detector.lsp",
        changes=(
            "pose_landmark_full.tflite of MediaPipe: all weights but the first layers' and"
            " the mask's trained further, and averaged with it"
        ),
    ),
    "lite.lsp": Release(
        "lite.lsp",
        "lite",
        {},
        LICENCE_LSP,
        "LSP and LSP Extended, from Google's Lite",
        84.6,
        detector="detector.lsp",
        changes=(
            "pose_landmark_lite.tflite of MediaPipe: all weights but the first layers' and"
            " the mask's trained further, and averaged with it"
        ),
    ),
}
# Short names may come to stand for other weights; the releases' names never do.
ALIASES = {"full": "released-full", "lite": "released-lite", "heavy": "released-heavy"}
NAMES = (*ALIASES, *RELEASES)


def permanent_name(name: str) -> str:
    """The release's name for a short one; anything else as it is."""
    return ALIASES.get(name, name)


def release_of(name: str) -> Release:
    """What a name stands for.

    Raises:
      BlazePoseError: an unknown name.
    """
    check_name(name, NAMES, "weights")
    return RELEASES[permanent_name(name)]


def packaged_instead() -> str:
    """A sentence part on the pose nets that need no network; "" where none ships."""
    found = [r for r in RELEASES.values() if not r.files and r.score is not None]
    return "".join(
        f"; without network take {r.name}, which ships with this package and was trained on"
        f" {r.trained_on}"
        for r in found[:1]
    )
