"""Annotated people whose heads are covered: the detector knows people by their faces.

    python tools/covered_heads.py DIR --source LSP_TRAIN [--only experiments/lsp_held_out.txt]
    blazepose evaluate --data DIR --roi detector --search none    # and quick, thorough

Writes annotations and pictures of those whose neck and top of the head are labelled. A disc of one
grey, as wide as the head is long and a third more, lies on each head.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from blazepose_jax.cli.people_lists import read_ids

WIDER, GREY = 1.33, 127
ENDS = ("neck", "head_top")


def main(argv: list[str] | None = None) -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--source", type=Path, required=True, metavar="LSP_TRAIN")
    parser.add_argument("--only", default="experiments/lsp_held_out.txt", metavar="FILE")
    args = parser.parse_args(argv)
    file = json.loads((args.source / "annotations.json").read_text(encoding="utf-8"))
    images = {image["id"]: image for image in file["images"]}
    rows = [file["categories"][0]["keypoints"].index(name) for name in ENDS]
    wanted, kept = set(read_ids(args.only)), []
    (args.directory / "images").mkdir(parents=True)
    for one in file["annotations"]:
        ends = np.array(one["keypoints"]).reshape(-1, 3)[rows]
        if str(one["id"]) not in wanted or not (ends[:, 2] > 0).all():
            continue
        name = images[one["image_id"]]["file_name"]
        picture = np.array(Image.open(args.source / name).convert("RGB"))
        cover(picture, *ends[:, :2])
        target = Path(name).with_suffix(".png").name
        Image.fromarray(picture).save(args.directory / "images" / target)
        images[one["image_id"]]["file_name"] = f"images/{target}"
        kept.append(one)
    shown = [images[one["image_id"]] for one in kept]
    text = json.dumps({**file, "images": shown, "annotations": kept})
    (args.directory / "annotations.json").write_text(text, encoding="utf-8")
    print(f"wrote {len(kept)} people to {args.directory}")


def cover(picture: np.ndarray, neck: np.ndarray, top: np.ndarray) -> None:
    """Paint a disc over the head.

    Args:
      picture: (H, W, 3) uint8.
      neck: (2,) px.
      top: (2,) px, of the head.
    """
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    middle, length = (neck + top) / 2, np.linalg.norm(top - neck)
    picture[np.hypot(x - middle[0], y - middle[1]) < WIDER * length / 2] = GREY


if __name__ == "__main__":
    main()
