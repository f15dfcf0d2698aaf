"""Numbers that the rebuilding of the house must not change.

``python tests/test_same_numbers.py`` writes them anew.
"""

import hashlib
import json
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blazepose_jax import training
from blazepose_jax.cli.main import main
from blazepose_jax.data.rendered import Rendered, RenderedScenes
from blazepose_jax.export.convert import to_tflite
from blazepose_jax.export.graph import make_graph
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.media import read_media
from blazepose_jax.models import FIELDS, LayerConfig, create_model
from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import Network
from blazepose_jax.training import AugmentConfig, DetectorConfig, LossConfig, Teacher, TeacherConfig
from blazepose_jax.weights import import_weights, read_stored

REFERENCE = Path(__file__).with_suffix(".json")
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def graph_digest(data):
    """Operators with their tensors, and buffers; names of inner tensors follow those of methods."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    operators = [
        (model.operatorCodes[o.opcodeIndex].builtinCode, list(o.inputs), list(o.outputs))
        for o in model.subgraphs[0].operators
    ]
    buffers = [digest(bytes(b.data) if b.data is not None else b"") for b in model.buffers]
    return digest(json.dumps([operators, buffers], default=int).encode())


def tensors_and_points(root):
    files = [
        SHARED / "models" / name for name in ("pose_detection.tflite", "pose_landmark_lite.tflite")
    ]
    import_weights(files, root / "lite")
    found = {
        name: digest((root / "lite" / name).read_bytes())
        for name in ("model.json", "pose.safetensors", "detector.safetensors")
    }
    clip = sorted((SHARED / "data").rglob("pose_squats.mp4"))[0]
    tracker = Tracker(root / "lite")
    total = []
    for frame in read_media(clip, end=0.4):
        total.append(tracker(frame.image, frame.time).keypoints)
    found["points"] = np.asarray(total, np.float64).round(3).sum((0, 1)).tolist()
    found["frames"] = len(total)
    nets = read_stored(root / "lite")
    for precision in ("float32", "float16"):
        data = [
            to_tflite(make_graph(nets[kind]), backend="litert", precision=precision)
            for kind in ("detector", "pose")
        ]
        found[f"export {precision}"] = [graph_digest(d) for d in data]
    return found


def losses():
    found = {}
    records = jax.device_get(Rendered(64, 160).take(np.arange(4)))
    model = create_model("smoke", LayerConfig(), side=128)
    images = jnp.zeros((1, 128, 128, 3))
    variables = jax.jit(lambda: model.init(jax.random.key(0), images, train=False))()

    def apply(variables, images):
        outputs, updated = model.apply(variables, images / 255, train=True, mutable=["batch_stats"])
        return outputs, updated["batch_stats"]

    other = jax.jit(lambda: model.init(jax.random.key(1), images, train=False))()
    network = Network(
        other, lambda v, x: model.apply(v, x, train=False), 128, 0.0, 255.0, BLAZEPOSE, FIELDS
    )
    for name, teacher in (
        ("plain", None),
        ("teacher", Teacher(network, TeacherConfig(features=0.3))),
    ):
        objective = partial(
            training.pose_objective,
            apply,
            skeleton=BLAZEPOSE,
            fields=FIELDS,
            side=128,
            augmentation=AugmentConfig(),
            weights=LossConfig(),
            teacher=teacher,
        )
        (loss, (parts, _)), gradient = jax.jit(
            jax.value_and_grad(
                lambda p, o=objective: o({**variables, "params": p}, records, jax.random.key(3)),
                has_aux=True,
            )
        )(variables["params"])
        norm = jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(gradient)))
        found[name] = {
            "loss": float(loss),
            "gradient": float(norm),
            **{k: float(v) for k, v in parts.items()},
        }
    scenes = jax.device_get(RenderedScenes(64, 128).batch(0, 4, 0))
    eyes = create_model("smoke_detector", LayerConfig())
    variables = jax.jit(lambda: eyes.init(jax.random.key(0), images, train=False))()

    def see(variables, images):
        outputs, updated = eyes.apply(
            variables, images / 127.5 - 1, train=True, mutable=["batch_stats"]
        )
        return outputs, updated["batch_stats"]

    loss, (parts, _) = jax.jit(
        partial(training.detector_objective, see, side=128, config=DetectorConfig())
    )(variables, scenes, jax.random.key(3))
    found["detector"] = {"loss": float(loss), **{k: float(v) for k, v in parts.items()}}
    return found


def run(root):
    assert (
        main(
            [
                "train",
                "smoke",
                "--workdir",
                str(root / "run"),
                "data.rendered=1.0",
                "data.people=64",
                "data.size=160",
                "optimizer.steps=6",
                "log_every=1",
                "validate_every=6",
            ]
        )
        == 0
    )
    rows = [json.loads(line) for line in (root / "run" / "metrics.jsonl").read_text().splitlines()]
    return [row.get("loss", row.get("pck@0.2")) for row in rows]


def measure(root):
    return {"models": tensors_and_points(root), "losses": losses(), "run": run(root)}


@pytest.mark.long
def test_nothing_has_changed(tmp_path):
    expected, found = json.loads(REFERENCE.read_text()), measure(tmp_path)
    assert found["models"] == expected["models"]
    assert found["run"] == pytest.approx(expected["run"], rel=1e-4)
    for objective, parts in expected["losses"].items():
        for name, value in parts.items():
            name = {"teacher_flags": "teacher_visibility"}.get(name, name)
            assert found["losses"][objective][name] == pytest.approx(value, rel=1e-6, abs=1e-9), (
                objective,
                name,
            )


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(measure(Path(folder)), indent=1)
    (REFERENCE if len(sys.argv) < 2 else Path(sys.argv[1])).write_text(text + "\n")
