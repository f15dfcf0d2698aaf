"""The quality function: hypotheses of people collected, and the function fitted to them.

    python tools/quality collect LSP_TRAIN --weights W --output FILE.npz [--held-out]
        [--first 0] [--count 500] [--threads 1]
    python tools/quality fit FILE.npz... --output quality.safetensors
    python tools/quality judge FILE.npz... [--parameters quality.safetensors]

``collect`` looks at photographs as ``--search thorough`` does, in the truth's ROI, in disturbed
ROIs and in the background; in three of ten pictures part of the person is cut off or covered.
Nobody of experiments/lsp_held_out.txt and no picture that is nearly in LSP's test half is used,
unless ``--held-out`` asks for just the former, in whole pictures. ``fit`` trains on such files, a
tenth of the people calibrating; ``judge`` reports on people who were held out (docs/quality.md).
"""

import argparse

from fitting import fit
from judging import report
from looks import collect

from blazepose_jax.inference import quality


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("collect")
    one.add_argument("source")
    one.add_argument("--weights", required=True)
    one.add_argument("--output", required=True)
    one.add_argument("--held-out", action="store_true")
    one.add_argument("--first", type=int, default=0)
    one.add_argument("--count", type=int, default=500)
    one.add_argument("--threads", type=int, default=1)
    one.set_defaults(run=collect)
    one = commands.add_parser("fit")
    one.add_argument("files", nargs="+")
    one.add_argument("--output", required=True)
    one.add_argument("--steps", type=int, default=2000)
    one.add_argument("--judge-steps", type=int, default=3000)
    one.set_defaults(run=fit)
    one = commands.add_parser("judge")
    one.add_argument("files", nargs="+")
    one.add_argument("--parameters", default=str(quality.PARAMETERS))
    one.set_defaults(run=report)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
