"""Checkpoints of a run, by Orbax."""

import contextlib
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import jax

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.training.step import TrainState


class Checkpoints:
    """Orbax checkpoints of a run; the newest three are kept. Each appears when it is complete."""

    def __init__(self, directory: Path):
        """Open or make the directory."""
        try:
            from orbax.checkpoint import v1 as ocp
        except ImportError as error:
            raise BlazePoseError(
                "training needs Orbax: pip install 'blazepose_jax[train]'"
            ) from error
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # what goes wrong is raised, too
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._training = directory.absolute(), ocp.training
        self._keeper = self._open()

    def _open(self) -> Any:
        policies: Any = self._training
        return policies.Checkpointer(
            self._directory,
            save_decision_policy=policies.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=policies.preservation_policies.LatestN(3),
        )

    def save(self, step: int, state: TrainState, position: dict[str, Any] | None = None) -> None:
        """Write the state of a step and a reader's position, and wait until both are complete."""
        try:
            self._keeper.save(step, state, force=True, custom_metadata={"position": position})
        # tensorstore, underneath, raises ValueError for a full disk.
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0][-160:]
            raise BlazePoseError(
                f"checkpoint {step} could not be written (... {reason}): make room, then run the"
                " same command to go on from the one before"
            ) from error

    def steps(self) -> list[int]:
        """Steps of the checkpoints there are, newest first."""
        return sorted((c.step for c in self._keeper.checkpoints), reverse=True)

    def restore(self, like: TrainState) -> tuple[int, TrainState, dict[str, Any] | None] | None:
        """Step, state and position of the newest readable checkpoint; None where there is none.

        The state gets the tree, shapes and shardings of ``like``.

        An unreadable checkpoint is reported and put aside, and the one before it taken.

        Raises:
          BlazePoseError: there are checkpoints and none is readable, or one is of another network.
        """
        steps, damaged = self.steps(), []
        for step in steps:
            self._check_fits(step, like)
            try:
                wanted = jax.tree.map(
                    lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), like
                )
                found = self._keeper.load(step, wanted)
                jax.block_until_ready(found)
                position = (self._keeper.metadata(step).custom_metadata or {}).get("position")
            except Exception as error:  # whatever a damaged file makes Orbax raise
                reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
                warnings.warn(
                    f"checkpoint {step} cannot be read ({reason}); trying the one before",
                    stacklevel=2,
                )
                damaged.append(step)
                continue
            self._put_aside(damaged)
            return step, found, position
        if steps:
            raise BlazePoseError(
                f"none of the checkpoints in {self._directory} can be read: restore them, or name"
                " a new --workdir"
            )
        return None

    def _check_fits(self, step: int, like: TrainState) -> None:
        """Refuse a checkpoint with other tensors than a state; one too damaged to tell passes.

        Raises:
          BlazePoseError: of another network, or another rule of the optimizer.
        """
        try:
            saved = shapes_of(self._keeper.metadata(step).metadata)
        except Exception:  # whatever a damaged file makes Orbax raise
            return
        expected = shapes_of(like)
        differ = [
            name
            for name in sorted(saved.keys() | expected.keys())
            if saved.get(name) != expected.get(name)
        ]
        if not saved or not differ:
            return
        network = [name for name in differ if not name.startswith("opt_state")]
        name = min(network or differ, key=lambda name: (not name.startswith("params"), name))
        whose = "is of another network" if network else "has another optimizer's state"
        raise BlazePoseError(
            f"checkpoint {step} in {self._directory} {whose} ({name}:"
            f" {saved.get(name, 'missing')}, here {expected.get(name, 'missing')}; {len(differ)}"
            " tensors differ): name a new --workdir"
        )

    def _put_aside(self, damaged: list[int]) -> None:
        """Move unreadable checkpoints out of the way of those that will have their steps."""
        if not damaged:
            return
        self.close()
        if jax.process_index() == 0:
            for step in damaged:
                place = self._directory.parent / f"damaged-checkpoint-{step}"
                shutil.rmtree(place, ignore_errors=True)
                (self._directory / str(step)).rename(place)
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("damaged checkpoints are put aside")
        self._keeper = self._open()

    def close(self) -> None:
        """Finish."""
        with contextlib.suppress(Exception):
            self._keeper.close()


def shapes_of(tree: Any) -> dict[str, tuple[int, ...]]:
    """{place: shape} of a state's arrays, or of what Orbax says of a saved one's."""

    def word(part: Any) -> str:
        return str(next(getattr(part, a) for a in ("key", "name", "idx") if hasattr(part, a)))

    return {
        "/".join(map(word, path)): tuple(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
