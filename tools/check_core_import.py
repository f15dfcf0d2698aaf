"""Import every core module where only the core requirements are installed.

No extra may have leaked in.
"""

import importlib
import importlib.util
import sys

CORE = [
    "",
    ".errors",
    ".skeleton",
    ".structs",
    ".geometry.boxes",
    ".geometry.nms",
    ".geometry.rois",
    ".geometry.warp",
    ".codecs.anchors",
    ".codecs.heatmaps",
    ".codecs.landmarks",
    ".smoothing",
    ".models",
    ".models.summary",
    ".models.fold",
    ".inference",
    ".frames",
    ".results",
    ".draw",
    ".video",
    ".weights",
    ".litert",
    ".engine",
    ".metrics",
    ".data.coco",
    ".tracker",
    ".evaluate",
    ".progress",
    ".augment",
    ".losses",
    ".codecs.alignment",
    ".rendering.scene",
    ".models.unfold",
    ".objectives",
    ".training",
    ".configs",
    ".data.records",
    ".data.people",
    ".data.lsp",
    ".data.scenes",
    ".data.rendered",
    ".data.readers",
    ".data.streams",
    ".initialise",
    ".tasks",
    ".trainer",
    ".metric_log",
    ".train",
    ".prepare",
    ".demo_training",
    ".cli",
    ".commands",
]
EXTRAS = [
    "av",
    "PIL",
    "tqdm",
    "ai_edge_litert",
    "skimage",
    "tensorflow",
    "grain",
    "tensorflow_datasets",
]


def main() -> None:
    """Entry point."""
    if installed := [name for name in EXTRAS if importlib.util.find_spec(name)]:
        raise SystemExit(
            f"this environment has the extra {installed[0]}: use one with the core requirements"
            " alone"
        )
    for name in CORE:
        importlib.import_module(f"blazepose_jax{name}")
    assert not set(EXTRAS) & set(sys.modules)
    print(f"{len(CORE)} core modules import without extras")


if __name__ == "__main__":
    main()
