"""PCK of .task files in MediaPipe's runtime in the browser, end to end, on annotated people.

    make clients
    .venv/bin/python tools/browser_accuracy.py A.task [B.task ...] --data DIR [--limit N]
        [--json F]

Headless Chromium opens the page of `blazepose web` (CPU delegate, image mode, one person a
picture). The 95 % interval of a difference to the first file is that of a bootstrap over people.
"""

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from mediapipe_accuracy import read_people
from mediapipe_counts import shared_names

from blazepose_jax.cli.progress import progress
from blazepose_jax.cli.web import PAGE, VISION, make_server
from blazepose_jax.data.annotations import Annotations
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.evaluation.predict import Prediction
from blazepose_jax.evaluation.report import TORSOS, hits_by_person, paired_difference
from blazepose_jax.io.files import write_text
from blazepose_jax.io.output_checks import check_outputs
from blazepose_jax.skeleton import BLAZEPOSE


def points_in_browser(task: Path, photographs: Iterable[Path]) -> Iterator[np.ndarray | None]:
    """The (33, 2) points, px, found in each photograph; None where nobody is found.

    Raises:
      BlazePoseError: the browser or the page failed.
    """
    with make_server(task.read_bytes(), None, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_address[1]}/"
        job = subprocess.Popen(
            ["node", str(PAGE / "people.mjs"), address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with job:
            assert job.stdin is not None
            assert job.stdout is not None
            for path in photographs:
                print(path.resolve(), file=job.stdin, flush=True)
                line = job.stdout.readline()
                if not line:
                    job.stdin.close()
                    raise BlazePoseError(f"the browser failed at {path.name}: see above")
                answer = json.loads(line)
                yield None if answer is None else np.array(answer, np.float32)
            job.stdin.close()
        server.shutdown()


def look(task: Path, data: Annotations, names: tuple[str, ...]) -> list[Prediction]:
    """What the browser finds in each person's picture."""
    rows = list(BLAZEPOSE.indices(names))
    nothing = np.full((len(rows), 2), np.nan, np.float32)
    pictures = [person.image for person in data.people]
    found = points_in_browser(task, progress(pictures, len(pictures), task.name, "people"))
    return [
        Prediction(
            person,
            nothing if points is None else points[rows],
            np.ones(len(rows), np.float32),
            float(points is not None),
            None,
        )
        for person, points in zip(data.people, found, strict=True)
    ]


def check(args: argparse.Namespace) -> None:
    """Check what would fail after a long run.

    Raises:
      BlazePoseError: no runtime, no such file, names that are the same, or a bad output.
    """
    if not VISION.is_dir():
        raise BlazePoseError("the browser's runtime is not here: run `make clients`")
    for task in args.task:
        if not task.is_file():
            raise BlazePoseError(f"{task} is no file: give a .task")
    if len({task.name for task in args.task}) < len(args.task):
        raise BlazePoseError("two files have the same name: rename one")
    if args.limit is not None and args.limit < 1:
        raise BlazePoseError(f"--limit is {args.limit}: it must be at least 1")
    check_outputs((args.json,), tuple(map(str, args.task)))


def main() -> int:
    """Print a row for each file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", type=Path, nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    check(args)
    data = read_people(args.data, None, args.limit)
    names = shared_names(data)
    rows, hits = {}, {}
    for task in args.task:
        found = look(task, data, names)
        hits[task], known = hits_by_person(found, data, names, TORSOS["lsp"])
        gain = [round(x, 2) for x in paired_difference(hits[args.task[0]], hits[task], known)]
        rows[task.name] = {
            "found": sum(one.score > 0 for one in found),
            "pck@0.2": round(100 * float(hits[task].sum() / known.sum()), 2),
            "difference, 95 %": gain,
        }
    report = {"data": Path(args.data).name, "people": len(data.people), "tasks": rows}
    if args.json:
        write_text(Path(args.json), json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BlazePoseError as error:
        sys.exit(f"browser_accuracy: {error}")
