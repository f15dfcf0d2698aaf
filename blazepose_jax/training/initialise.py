"""Starts: variables of a weights directory for the network that is trained."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.files import write_text
from blazepose_jax.io.json_files import read_json
from blazepose_jax.models import FIELDS, LayerConfig, create_model
from blazepose_jax.models.batch_norm import fold_batch_norm, unfold_batch_norm
from blazepose_jax.skeleton import ROI_POINTS, Skeleton
from blazepose_jax.structs import Variables
from blazepose_jax.weights import StoredNetwork, read_stored
from blazepose_jax.weights.own import ExperimentFile
from blazepose_jax.weights.rows import (
    ROW_HEADS,
    WIDTHS,
    RowSource,
    carry_rows,
    describe_sources,
    row_sources,
)

NAME = "start.json"


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run began with; it outlives the first command, so that the run can go on.

    Attributes:
      weights: path of --init, or "".
      source: of these weights, for people.
      licence: of these weights.
      fresh_rows: names of the keypoints that they do not predict.
      has_roi_points: whether they predict where to look next.
    """

    weights: str = ""
    source: str = ""
    licence: str = ""
    fresh_rows: tuple[str, ...] = ()
    has_roi_points: bool = False

    def fresh_in(self, skeleton: Skeleton) -> np.ndarray:
        """(K',) bool: rows of the network that learns which these weights do not predict.

        Where there are no weights it is none, as nothing is ahead of anything.
        """
        names = skeleton.keypoints + skeleton.auxiliary
        roi = () if self.has_roi_points or not self.weights else ROI_POINTS
        return np.isin(names, self.fresh_rows + roi)


def begin(
    workdir: Path,
    init: str | None,
    kind: str,
    skeleton: Skeleton,
    experiment: ExperimentFile | None = None,
) -> Start:
    """The start of a run: that of an earlier command, or a new one, which ``write_start`` keeps.

    Args:
      workdir: of the run.
      init: weights directory or .task, or None.
      kind: ``detector`` or ``pose``.
      skeleton: of the records.
      experiment: that is trained; it brings the network of weights that refer to it.

    Raises:
      BlazePoseError: no such weights, or a damaged file.
    """
    place = workdir / NAME
    if init is None:
        if not place.is_file():
            return Start()
        try:
            data = read_json(place)
            return Start(**{**data, "fresh_rows": tuple(data["fresh_rows"])})
        except (TypeError, KeyError) as error:
            raise BlazePoseError(
                f"{place} is damaged ({error}): begin again in a new --workdir"
            ) from error
    stored = find(init, kind, experiment)
    start = Start(init, stored.source, stored.licence)
    if kind == "pose" and stored.skeleton is not None:
        sources = row_sources(stored.skeleton, skeleton)
        start = dataclasses.replace(
            start,
            fresh_rows=tuple(source.name for source in sources if not source.known),
            has_roi_points=stored.skeleton.has_roi_points,
        )
    return start


def write_start(workdir: Path, start: Start) -> None:
    """Keep a start for the commands that go on."""
    write_text(workdir / NAME, json.dumps(dataclasses.asdict(start), indent=2) + "\n")


def find(path: str, kind: str, experiment: ExperimentFile | None = None) -> StoredNetwork:
    """A network of a weights directory.

    Raises:
      BlazePoseError: there is none of this kind.
    """
    found = read_stored(path, experiment=experiment)
    if kind not in found:
        raise BlazePoseError(
            f"{path} holds no {kind}: name a weights directory that does with --init"
        )
    return found[kind]


def start_from(
    path: str,
    kind: str,
    fresh: Variables,
    model: str,
    norm: str,
    crops: Iterable[jax.Array],
    *,
    skeleton: Skeleton | None = None,
    fields: tuple[str, ...] = FIELDS,
    side: int | None = None,
    experiment: ExperimentFile | None = None,
) -> Variables:
    """Variables of a weights directory with the normalisation that is trained.

    Rows of the heads are carried over by keypoint. What does not fit stays fresh, and is named.

    Args:
      path: weights directory or .task.
      kind: ``detector`` or ``pose``.
      fresh: variables of the experiment's network.
      model: the experiment's network.
      norm: ``batch``, ``frozen`` or ``folded``.
      crops: (B, S, S, 3) normalised, to unfold folded weights on; read only where that is needed.
      skeleton: of the experiment's pose net.
      fields: columns of its landmarks.
      side: S, px; None where it is not compared.
      experiment: as for ``begin``.

    Returns:
      Variables with the names and shapes of ``fresh``.

    Raises:
      BlazePoseError: no such network in the directory, or one of another architecture or input.
    """
    stored = find(path, kind, experiment)
    _check_fit(stored, model, side)
    # Shipped weights are float16, in which Adam's squares of small gradients are 0.
    variables = jax.tree.map(lambda a: np.asarray(a, np.float32), stored.variables)
    if stored.norm == "folded" and norm != "folded":
        print("measuring statistics to unfold batch normalisation")
        variables = unfold_batch_norm(
            create_model(stored.spec, LayerConfig(), **stored.arguments), variables, crops
        )
    elif stored.norm == "batch" and norm == "folded":
        variables = fold_batch_norm(variables)
    if skeleton is not None and stored.skeleton is not None:
        old_fields = stored.fields
        sources = row_sources(stored.skeleton, skeleton)
        print(describe_sources(sources))
        variables = with_rows(variables, fresh, sources, old_fields, fields)
    return take_over(fresh, variables)


def _check_fit(stored: StoredNetwork, model: str, side: int | None) -> None:
    if stored.model != model:
        raise BlazePoseError(
            f"the weights are of {stored.model!r}, the experiment trains {model!r}: "
            "name another --init"
        )
    had = stored.side
    if side not in (None, had):
        raise BlazePoseError(
            f"the weights look at {had} px, the net that learns at {side}: leave model.side at"
            f" {had}, or train without --init"
        )


def with_rows(
    variables: Variables,
    fresh: Variables,
    sources: tuple[RowSource, ...],
    old_fields: tuple[str, ...],
    new_fields: tuple[str, ...],
) -> Variables:
    """Variables whose heads have the rows of another keypoint set.

    Args:
      variables: of a pose net.
      fresh: of the net to make.
      sources: of its rows.
      old_fields: columns of the landmarks that there are.
      new_fields: columns of those to make.

    Returns:
      A copy of ``variables`` in which every head with rows that both nets have is as in ``fresh``.
    """
    # Networks of experiment files may have none.
    old, new = (tree["params"].get("heads", {}) for tree in (variables, fresh))
    channels = {name: tuple(map(str, range(width))) for name, width in WIDTHS.items()}
    moved = {
        name: carry_rows(
            old[name],
            new[name],
            sources,
            channels.get(name, old_fields),
            channels.get(name, new_fields),
        )
        for name in ROW_HEADS
        if name in old and name in new
    }
    if not moved:
        return variables
    return {**variables, "params": {**variables["params"], "heads": {**old, **moved}}}


def take_over(fresh: Variables, variables: Variables) -> Variables:
    """Copy every tensor that fits, and say which do not."""
    new = []

    def pick(path: Any, leaf: Any) -> Any:
        node: Any = variables
        for part in path:
            node = node.get(part.key) if isinstance(node, dict) else None
        if node is None or node.shape != leaf.shape:
            new.append("/".join(part.key for part in path))
            return leaf
        return jnp.asarray(node)

    taken = jax.tree_util.tree_map_with_path(pick, fresh)
    print(
        f"took over all but {len(new)} tensors"
        + (f", fresh: {', '.join(sorted(new))}" if new else "")
    )
    return taken
