"""``python -m blazepose_jax.cli``."""

import sys

from blazepose_jax.cli.main import main

sys.exit(main())
