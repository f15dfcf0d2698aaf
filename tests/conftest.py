"""What several tests share.

Real files where there are any, and networks small enough to see through.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT, shared

from blazepose_jax.skeleton import BLAZEPOSE

# Half the seconds to compile; `make test-long` compiles as users do.
QUICK = "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true"
if "BLAZEPOSE_TEST_ALL_PASSES" not in os.environ:
    os.environ["XLA_FLAGS"] = f"{QUICK} {os.environ.get('XLA_FLAGS', '')}"
# `make test` names the place; a bare pytest keeps compiled programs too.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "xla"))
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])


# Files whose tests take longest go first, so that no worker is left alone with them at the end.
SLOW_FILES = (
    "test_runs",
    "test_notebooks",
    "test_finetuning",
    "test_released",
    "test_clients",
    "test_cli",
    "test_export",
    "test_models",
    "test_own_keypoints",
)


def pytest_collection_modifyitems(items):
    """Order the files; tests stay in theirs."""
    items.sort(
        key=lambda item: (
            SLOW_FILES.index(item.path.stem) if item.path.stem in SLOW_FILES else len(SLOW_FILES)
        )
    )


# Linux gives a process 65,530 memory maps, of which each compiled program takes about 18; XLA
# aborts when there is none left.
MOST_MAPS = 20_000


@pytest.fixture(scope="module", autouse=True)
def _room_for_programs():
    """Forget compiled programs after a file that leaves many; the disk's cache keeps them."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_users(tmp_path_factory):
    """A cache of the tests' own, and package managers without network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BLAZEPOSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("npm_config_offline", "true")
        yield


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


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """Twelve drawn people, prepared through the command line."""
    from helpers import person, standing, write_folder

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


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
    """Small architectures with random numbers.

    They see people everywhere once the thresholds are 0.
    """
    from helpers import random_variables

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
