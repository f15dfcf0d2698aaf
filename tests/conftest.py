"""What several tests share.

Real files where there are any, and networks small enough to see through.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blazepose_jax.skeleton import BLAZEPOSE
from blazepose_jax.structs import DetectorOutputs, Network, PoseOutputs

ROOT = Path(__file__).resolve().parent.parent
# `make test` names the place; a bare pytest keeps compiled programs too.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "xla"))
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])


# Files whose tests take longest go first, so that no worker is left alone with them at the end.
SLOW_FILES = (
    "test_runs",
    "test_finetuning",
    "test_released",
    "test_clients",
    "test_cli",
    "test_export",
    "test_models",
)


def pytest_collection_modifyitems(items):
    """Order the files; tests stay in theirs."""
    items.sort(
        key=lambda item: (
            SLOW_FILES.index(item.path.stem) if item.path.stem in SLOW_FILES else len(SLOW_FILES)
        )
    )


def shared(*parts: str) -> Path:
    """A path below BLAZEPOSE_SHARED; skips the test where it is missing."""
    root = Path(os.environ.get("BLAZEPOSE_SHARED", ROOT.parent / "shared"))
    path = root.joinpath(*parts)
    if not path.exists():
        pytest.skip(
            f"{'/'.join(parts)} is not here: set BLAZEPOSE_SHARED to the folder that holds models/"
            " and data/"
        )
    return path


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """A weights directory with Google's detector and Full."""
    from blazepose_jax.weights import import_weights

    directory = tmp_path_factory.mktemp("released") / "full"
    files = ("pose_detection.tflite", "pose_landmark_full.tflite")
    import_weights([shared("models", name) for name in files], directory)
    return directory


@pytest.fixture(scope="session")
def astronaut():
    """A real photograph that every development environment has."""
    from skimage.data import astronaut

    return astronaut()


def blob_image(width, height, *centers, radius=12):
    """Black, with a white disc per centre: what the blob networks take for a person."""
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3), np.uint8)
    for cx, cy in centers:
        image[np.hypot(x - cx, y - cy) < radius] = 255
    return image


def blob_networks(size=0.25):
    """A detector and a pose net, without parameters, that find white discs.

    The detector puts one detection on the anchor nearest to each disc's bright cells: mid-hip at
    the disc, the circle ``size`` of the letterbox above it. The pose net answers with the centroid
    of what is bright in its crop.
    """

    def detect(_, images):
        grey = (images[0].mean(-1) + 1) / 2  # (224, 224)
        coarse = grey.reshape(28, 8, 28, 8).mean((1, 3))  # the anchors at stride 8, two per cell
        scores = jnp.concatenate([jnp.repeat(coarse.reshape(-1), 2), jnp.zeros(686)])
        logits = jnp.where(scores > 0.9, 4.0 + scores, -10.0)
        values = jnp.zeros((2254, 12)).at[:, 2:4].set(30.0).at[:, 7].set(-224 * size)
        return DetectorOutputs(values[None], logits[None, :, None])

    def pose(_, images):
        grey = images.mean(-1)  # (B, 64, 64)
        total = grey.sum((1, 2))
        steps = jnp.arange(64.0)
        x = (grey * steps).sum((1, 2)) / jnp.maximum(total, 1e-6)
        y = (grey * steps[:, None]).sum((1, 2)) / jnp.maximum(total, 1e-6)
        rows = jnp.zeros((images.shape[0], 39, 5))
        rows = rows.at[:, :, 0].set(x[:, None]).at[:, :, 1].set(y[:, None])
        rows = rows.at[:, 34, 1].add(-64 / 2.5)  # the circle keeps its size
        return PoseOutputs(rows, jnp.where(total > 4, 5.0, -5.0)[:, None])

    fields = ("x", "y", "z", "visibility", "presence")
    return (
        Network((), detect, 224, 127.5, 127.5),
        Network((), pose, 64, 0.0, 255.0, BLAZEPOSE, fields),
    )


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """Twelve drawn people, prepared through the command line."""
    from test_evaluate import person, standing, write_folder

    from blazepose_jax.cli.main import main

    root = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    people = []
    for i in range(12):
        rows = standing(80 + 40 * rng.uniform(), 40)
        rows[:, :2] += rng.normal(0, 3, (17, 2))
        people.append({**person(i + 1), "keypoints": rows.reshape(-1).tolist()})
    people.append(
        {
            **person(99),
            "keypoints": np.where(np.arange(51) < 15, standing().reshape(-1), 0).tolist(),
        }
    )
    folder = write_folder(root / "data", people)
    assert (
        main(
            [
                "data",
                "prepare",
                "coco_keypoints",
                "--source",
                str(folder),
                "--output",
                str(root / "records"),
            ]
        )
        == 0
    )
    return root / "records"


def drawn_weights(name):
    """A detector with random parameters, as a weights directory stores it."""
    from test_models import random_variables

    from blazepose_jax.models import FOLDED, create_model, spec_of
    from blazepose_jax.weights.directory import StoredNetwork

    side = spec_of(name).side
    shapes = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return StoredNetwork(
        name, "folded", random_variables(create_model(name, FOLDED), shapes), {}, "drawn", ""
    )


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """Small architectures with random numbers.

    They see people everywhere once the thresholds are 0.
    """
    from test_models import random_variables

    from blazepose_jax.models import LayerConfig, create_model
    from blazepose_jax.weights import save_weights
    from blazepose_jax.weights.directory import StoredNetwork

    networks = {}
    for kind, name in (("detector", "smoke_detector"), ("pose", "smoke")):
        arguments = {"side": 128} if kind == "pose" else {}
        model = create_model(name, LayerConfig(convolution="xla"), **arguments)
        variables = random_variables(model, jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32))
        networks[kind] = StoredNetwork(
            name,
            "batch",
            variables,
            arguments,
            "random",
            "none",
            BLAZEPOSE if kind == "pose" else None,
        )
    directory = tmp_path_factory.mktemp("random") / "weights"
    save_weights(directory, networks)
    return directory
