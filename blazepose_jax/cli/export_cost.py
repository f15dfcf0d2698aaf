"""The PCK that an export costs, measured on annotated people."""

import dataclasses

import numpy as np

from blazepose_jax.data.annotations import Annotations
from blazepose_jax.evaluation.predict import predict, shared_keypoints
from blazepose_jax.evaluation.report import choose_torso, hits_by_person
from blazepose_jax.export.exported import ExportedNetwork
from blazepose_jax.export.mediapipe_rows import ROWS
from blazepose_jax.inference import Settings
from blazepose_jax.inference.engine import Engine
from blazepose_jax.inference.jax_engine import JaxEngine
from blazepose_jax.inference.litert import litert_networks
from blazepose_jax.inference.litert_engine import LiteRTEngine
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.weights import StoredNetwork, TFLiteFile, load_weights
from blazepose_jax.weights.own import ExperimentFile

ALLOWED_DROP = 1.0  # points of PCK@0.2


@dataclasses.dataclass(frozen=True)
class PckCost:
    """PCK@0.2 of a file beside that of float32 in JAX, in points.

    Attributes:
      jax: of float32 in JAX.
      file: of the file.
      drop: their difference.
      standard_error: of the difference: people differ, and of a few a point or two is chance.
      people: how many were measured.
    """

    jax: float
    file: float
    drop: float
    standard_error: float
    people: int

    @property
    def failures(self) -> list[str]:
        """A phrase where the drop is larger than is allowed, beyond chance."""
        if self.drop <= ALLOWED_DROP + 2 * self.standard_error:
            return []
        return [
            f"PCK@0.2 falls by {self.drop:.2f} (standard error {self.standard_error:.2f}),"
            f" allowed {ALLOWED_DROP}"
        ]


def _named_rows(skeleton: Skeleton, own_names: tuple[str, ...]) -> Skeleton | None:
    """MediaPipe's rows under the names of the set whose points stand in them, with its ROI; None
    where the points that place that ROI have no row.
    """
    names = tuple(
        own or f"{row} (not predicted)"
        for row, own in zip(BLAZEPOSE.keypoints, own_names, strict=False)
    )
    if not set(skeleton.center + skeleton.up) <= set(names):
        return None
    return Skeleton(
        skeleton.name,
        names,
        (),
        skeleton.center,
        skeleton.up,
        auxiliary=BLAZEPOSE.auxiliary,
        roi=skeleton.roi,
    )


def measure_cost(
    net: StoredNetwork,
    exported: ExportedNetwork,
    weights: str,
    people: Annotations,
    experiment: ExperimentFile | None = None,
) -> PckCost | None:
    """Measure PCK@0.2 of a .tflite and of float32 JAX on the same people, the truth's ROI.

    On the points that both have: a .task leaves out those that MediaPipe has no row for.

    Args:
      net: the pose net.
      exported: its .tflite, one image at a time.
      weights: where JAX's network is read from.
      people: annotated; none of them calibrated the file.
      experiment: the file that brings a network which is none of the zoo.

    Returns:
      PckCost; None where a .task leaves out the points that place the truth's ROI, or a detector
        would have to.
    """
    # What stands in the file, or what its readers make of regressed points.
    decode = "heatmap" if exported.graph.decode == "heatmap" else "refine"
    settings, skeleton = Settings(decode=decode), net.skeleton or BLAZEPOSE
    if skeleton.roi == "face":
        return None
    if exported.graph.keypoints == ROWS:
        named = _named_rows(skeleton, exported.graph.own_names)
        if named is None:
            return None
        skeleton = named
    torso = choose_torso("lsp", people.names, net.skeleton or BLAZEPOSE)
    graph = exported.graph
    file = TFLiteFile(exported.data, skeleton, graph.fields, (graph.mean, graph.std))
    pose = load_weights(weights, experiment=experiment).pose
    engines: dict[str, Engine] = {
        "jax": JaxEngine(None, pose, settings, net.model),
        "file": LiteRTEngine(None, litert_networks({"pose": file})["pose"], settings, net.model),
    }
    shared = {kind: shared_keypoints(engine, people.names) for kind, engine in engines.items()}
    names = tuple(name for name in shared["jax"] if name in shared["file"])
    hits, total = {}, np.zeros(0)
    for name, engine in engines.items():
        columns = [shared[name].index(point) for point in names]
        predictions = [
            dataclasses.replace(
                one, keypoints=one.keypoints[columns], visibility=one.visibility[columns]
            )
            for one in predict(engine, people, "truth", people.people)
        ]
        hits[name], total = hits_by_person(predictions, people, names, torso)
    rates = {name: round(100 * float(found.sum() / total.sum()), 2) for name, found in hits.items()}
    lost = hits["jax"] - hits["file"]
    error = 100 * float(np.sqrt(((lost - lost.mean()) ** 2).sum()) / total.sum())
    return PckCost(
        rates["jax"], rates["file"], rates["jax"] - rates["file"], error, people=len(total)
    )
