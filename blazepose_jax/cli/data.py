"""``blazepose data``: records from data sets, and what a network sees of them."""

from argparse import ArgumentParser, Namespace

from blazepose_jax.cli.data_label import TEACHER, label
from blazepose_jax.cli.data_prepare import DATA_SETS, FORMATS, prepare
from blazepose_jax.cli.data_show import show
from blazepose_jax.cli.label_sources import SOURCES
from blazepose_jax.cli.options import add_overrides, add_runtime, names_help
from blazepose_jax.cli.people_lists import add_people_lists
from blazepose_jax.data.lsp import SPLITS
from blazepose_jax.data.tfds_source import CHOICES
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.skeleton import SKELETONS

ACTIONS = {"prepare": prepare, "label": label, "show": show}
OWN_SKELETON = "a JSON file with an own keypoint set"
ANNOTATED = ("prepare coco_keypoints", "prepare lsp", "prepare tfds")
# By option, what reads it: an action, or an action and its NAME. Nothing that is asked for and
# then not done goes unsaid.
READ_BY = {
    "overrides": ("show",),
    "source": (*ANNOTATED, "label"),
    "mapping": ("prepare tfds",),
    "images": ("prepare coco_keypoints", "prepare lsp", "label coco_keypoints"),
    "format": ("prepare",),
    "teacher": (*ANNOTATED, "label"),
    "finder": ("label",),
    "correct": ("label",),
    "runtime": ("label",),
    "skeleton": (*ANNOTATED, "label"),
    "only": (*ANNOTATED, "label coco_keypoints"),
    "leave_out": (*ANNOTATED, "label coco_keypoints"),
    "strict": (*ANNOTATED, "label coco_keypoints"),
    "split": ("prepare lsp", "prepare tfds"),
    "scenes": ("prepare",),
    "count": ("prepare rendered_people",),
    "size": ("prepare",),
    "seed": ("prepare rendered_people",),
    "backgrounds": ("prepare rendered_people",),
}


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "action", choices=ACTIONS, help="prepare NAME, label NAME, or show EXPERIMENT"
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        help=(
            f"of prepare: {names_help(DATA_SETS)}; of label: {names_help(SOURCES)}; of show: an"
            " experiment"
        ),
    )
    add_overrides(parser, "of show: changes to the experiment")
    parser.add_argument(
        "--source",
        metavar="PATH",
        help=(
            "of prepare and label: folder with annotations.json; for lsp the original archive or"
            " its folder; for tfds the set's folder or name; for photographs their folder"
        ),
    )
    parser.add_argument(
        "--mapping",
        metavar="M",
        help=(
            "of tfds: image=FEATURE,keypoints=FEATURE and perhaps visibility=, box=, group=; "
            + "; ".join(f"{word}={names_help(words, words[0])}" for word, words in CHOICES.items())
        ),
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="of prepare and label: where the pictures lie, if not beside the annotations",
    )
    parser.add_argument(
        "--format",
        default="records",
        metavar="F",
        help=f"of prepare: {names_help(FORMATS, 'records')}",
    )
    add_networks(parser)
    parser.add_argument(
        "--skeleton",
        default="blazepose",
        metavar="S",
        help=f"of prepare: {names_help((*SKELETONS, OWN_SKELETON), 'blazepose')}",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        help="new records folder, or the picture to write",
    )
    add_people_lists(parser)
    parser.add_argument("--strict", action="store_true", help="any unusable annotation is an error")
    add_choices(parser)
    parser.set_defaults(not_given={name: parser.get_default(name) for name in READ_BY})


def add_networks(parser: ArgumentParser) -> None:
    """The networks that look at people whom labels say too little of."""
    parser.add_argument(
        "--teacher",
        metavar="W",
        help=(
            "of prepare: weights that find the ROI of people whose labels give none; of label:"
            f" those that label (default: {TEACHER})"
        ),
    )
    parser.add_argument(
        "--finder",
        default="released-full",
        metavar="W",
        help=(
            "of label: weights that search for people (default: released-full); none labels nobody"
            " but those labelled by hand, in half the time"
        ),
    )
    parser.add_argument(
        "--correct",
        metavar="NAMES",
        help=(
            "of label: data sets, by the names that their images have in the file and with commas"
            " between, whose labels by hand give way to the teacher's points"
        ),
    )
    add_runtime(parser)


def add_choices(parser: ArgumentParser) -> None:
    """The options of prepare on what becomes a record, and which of them some data sets have."""
    parser.add_argument(
        "--split",
        default="train",
        metavar="S",
        help=f"of lsp: {names_help(SPLITS, 'train')}; of tfds: one that it has",
    )
    parser.add_argument(
        "--scenes", action="store_true", help="of prepare: whole photographs, for a detector"
    )
    parser.add_argument(
        "--count", type=int, default=1000, metavar="N", help="of rendered_people (default: 1000)"
    )
    parser.add_argument(
        "--size", type=int, default=320, metavar="PX", help="of a record (default: 320)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of rendered_people (default: 0)"
    )
    parser.add_argument(
        "--backgrounds",
        metavar="DIR",
        help="of rendered_people: pictures of nobody, before which they stand",
    )


def run(args: Namespace) -> None:
    """``blazepose data``."""
    check_read(args)
    ACTIONS[args.action](args)


def check_read(args: Namespace) -> None:
    """Refuse what the action would not read.

    Raises:
      BlazePoseError: such an option or word is given.
    """
    names = {"prepare": DATA_SETS, "label": SOURCES}.get(args.action)
    if names is not None and args.name not in names:
        return  # which the action says
    for option, readers in READ_BY.items():
        value = getattr(args, option)
        if value in (args.not_given[option], []):
            continue
        if args.action in readers or f"{args.action} {args.name}" in readers:
            continue
        given = f"--{option.replace('_', '-')}" if option != "overrides" else repr(value[0])
        meant = " and ".join(f"data {reader}" for reader in readers)
        raise BlazePoseError(
            f"data {args.action} {args.name} does not read {given}, which is for {meant}: leave it"
            " out"
        )
