"""``blazepose corpus``: many clips, by an Apache Beam pipeline that can be stopped and goes on."""

import dataclasses
import hashlib
import importlib
import json
import logging
import os
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import ModuleType

from blazepose_jax.cli.corpus_clip import WILD, Job, load_tracker, root_of
from blazepose_jax.cli.corpus_log import BeamLog
from blazepose_jax.cli.options import (
    add_overrides,
    add_weights,
    experiment_of,
    locate_weights,
)
from blazepose_jax.cli.track import add_tracking, add_world, settings_of
from blazepose_jax.cli.track_many import FORMATS
from blazepose_jax.errors import BlazePoseError, check_name
from blazepose_jax.inference.settings import Settings
from blazepose_jax.io.json_files import parse_json

# What a folder's results were made with; those of others are not mixed with them.
SETTINGS = "corpus.json"


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "input",
        metavar="GLOB",
        help="names of the clips, such as 'clips/**.mp4' or gs://bucket/clips/*.mp4; in quotes",
    )
    add_overrides(
        parser, "options of Beam, such as runner=FlinkRunner flink_master=HOST:8081 parallelism=8"
    )
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="write the results of each clip here"
    )
    parser.add_argument(
        "--formats",
        default="json",
        metavar="NAMES",
        help=f"{', '.join(FORMATS)} or {','.join(FORMATS)} (default: json)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine (default: 1); with runner=... it has its own option",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="of LiteRT in each worker (default: this machine's cores, shared by the workers)",
    )
    add_weights(parser)
    add_world(parser)
    add_tracking(parser)
    parser.set_defaults(mask=None)


def run(args: Namespace) -> None:
    """``blazepose corpus``.

    Raises:
      BlazePoseError: bad options, a missing package, no clip, or a folder with other results.
    """
    check_pattern(args.input)
    words = beam_words(args)
    corpus_pipeline = import_pipeline()
    args.input = absolute(args.input)
    for path in (args.input, absolute(args.output)):
        corpus_pipeline.check_file_system(path)
    if not names_runner(args) and (unknown := corpus_pipeline.unknown_options(words)):
        raise BlazePoseError(f"Beam has no option {unknown[0]!r}: check its name")
    locate_weights(args)
    job = job_of(args)
    # Whatever is wrong with the networks is said here, and not by a worker.
    load_tracker(job)
    if not corpus_pipeline.expected_results(args.input, job):
        raise BlazePoseError(f"nothing matches {args.input!r}: check the pattern and its quotes")
    claim(args.input, job, corpus_pipeline)
    began = time.perf_counter()
    with BeamLog(args.input, job, corpus_pipeline, is_quiet=not names_runner(args)):
        corpus_pipeline.run_pipeline(words, args.input, job)
    report(args, job, time.perf_counter() - began, corpus_pipeline)


def import_pipeline() -> ModuleType:
    """The module that needs Beam.

    Raises:
      BlazePoseError: Beam is not installed.
    """
    # Beam says that it has no packages for Google's cloud, which nobody asked for.
    logging.disable(logging.WARNING)
    try:
        return importlib.import_module("blazepose_jax.cli.corpus_pipeline")
    except ImportError as error:
        raise BlazePoseError(
            f"corpora need Apache Beam: pip install 'blazepose_jax[beam,video,litert]' ({error})"
        ) from error
    finally:
        logging.disable(logging.NOTSET)


def check_pattern(pattern: str) -> None:
    """Refuse a folder, and a local pattern that cannot match.

    Raises:
      BlazePoseError: such a one.
    """
    if os.path.isdir(pattern):
        raise BlazePoseError(
            f"{pattern!r} is a folder: give the names of its clips, such as"
            f" '{pattern.rstrip('/')}/**.mp4'"
        )
    if "://" not in pattern and not any(c in pattern for c in WILD) and not os.path.exists(pattern):
        raise BlazePoseError(f"{pattern!r} does not exist: give the names of clips, as a glob")


def job_of(args: Namespace) -> Job:
    """The options as a Job, with paths that any process on this machine finds.

    Raises:
      BlazePoseError: a bad option.
    """
    workers = args.workers or 1
    threads = args.threads
    if threads is None and args.workers:
        threads = max(1, (os.cpu_count() or 1) // workers)
    if threads is not None and threads < 1:
        raise BlazePoseError(f"--threads is {threads}: it is a number of threads, 1 or more")
    return Job(
        root_of(args.input),
        absolute(args.output),
        tuple(check_name(name, FORMATS, "format") for name in args.formats.split(",")),
        os.path.abspath(args.weights),
        None if args.detector is None else os.path.abspath(args.detector),
        settings_of(args, is_sequence=True),
        args.runtime,
        threads,
        experiment_of(args),
    )


def absolute(name: str) -> str:
    """A name that holds in any folder of this machine; that of another file system as it is."""
    return name if "://" in name else os.path.abspath(name)


def beam_words(args: Namespace) -> list[str]:
    """Beam's options, of ``--workers`` and the words ``name=value``.

    Raises:
      BlazePoseError: words that are none, or workers of another machine's runner.
    """
    for word in args.overrides:
        if "=" not in word:
            raise BlazePoseError(
                f"{word!r} is no option of Beam: give name=value, and the clips as one glob in"
                " quotes"
            )
    given = [f"--{word}" for word in args.overrides]
    if names_runner(args):
        if args.workers is not None:
            raise BlazePoseError(
                "--workers is of this machine's runner, and runner=... names another: give its own"
                " option"
            )
        return given
    workers = 1 if args.workers is None else args.workers
    if workers < 1:
        raise BlazePoseError(f"--workers is {workers}: it is a number of processes, 1 or more")
    # The default runner would fetch a program from the network where it could.
    given.append("--runner=FnApiRunner")
    if workers > 1:
        given += [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]
    return given


def names_runner(args: Namespace) -> bool:
    """Whether the words name the runner."""
    return any(word.startswith("runner=") for word in args.overrides)


def claim(pattern: str, job: Job, pipeline: ModuleType) -> None:
    """Say in the output folder what its results are made with; remove what killed runs left.

    Networks are known by their content, whatever their path.

    Raises:
      BlazePoseError: the folder has results that were made with something else, or files under the
        names of results of which nobody has said what made them.
    """
    target = f"{job.output.rstrip('/')}/{SETTINGS}"
    mine = json.loads(json.dumps(dataclasses.asdict(job), default=str))
    for name in ("output", "threads", "experiment"):  # which change no result, or by content alone
        del mine[name]
    for name in ("weights", "detector"):
        mine[name] = None if mine[name] is None else content_hash(Path(mine[name]))
    if job.experiment is not None:
        mine["experiment"] = content_hash(job.experiment.path)
    if not pipeline.FileSystems.exists(target):
        if present := pipeline.present_targets(pattern, job):
            raise BlazePoseError(
                f"{present[0]!r} exists, and no {SETTINGS} beside it says what made it: name a new"
                " folder"
            )
    else:
        with pipeline.FileSystems.open(target) as file:
            theirs = parse_json(file.read(), target)
        if not isinstance(theirs, dict):
            raise BlazePoseError(f"{target!r} is no object of settings: name a new folder")
        # A setting that came later has its default there.
        if isinstance(settings := theirs.get("settings"), dict):
            theirs["settings"] = dataclasses.asdict(Settings()) | settings
        for name, value in mine.items():
            if theirs.get(name) != value:
                raise BlazePoseError(
                    f"{job.output!r} has results with {name} {theirs.get(name)!r}, and this run has"
                    f" {value!r}: name a new folder, or give the same options"
                )
    pipeline.remove_parts(job.output)
    pipeline.publish_text(json.dumps(mine, indent=2) + "\n", target)


def content_hash(path: Path) -> str:
    """sha256 of a file, or of the files of a folder."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def report(args: Namespace, job: Job, seconds: float, pipeline: ModuleType) -> None:
    """Say what was done."""
    with pipeline.FileSystems.open(f"{job.output.rstrip('/')}/{pipeline.SUMMARY}") as file:
        sums = json.loads(file.read())
    failed = warned = ""
    if sums["failed"]:
        failed = f", {sums['failed']} failed ({job.output}/{pipeline.FAILURES} says why)"
    if sums["warned"]:
        warned = f", {sums['warned']} with warnings (NAME.warnings.txt beside them)"
    print(
        f"{sums['clips']} clips: {sums['done']} done{warned}, {sums['before']} done before{failed};"
        f" {sums['frames']} frames, {sums['occupied']} with people,"
        f" {sums['frames'] / seconds:.1f} frames/s with starting, reading and writing; results in"
        f" {args.output}"
    )
