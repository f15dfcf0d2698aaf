"""Networks on disk: weights directories, .task bundles, and MediaPipe's files."""

from blazepose_jax.weights.directory import StoredNetwork, save_weights
from blazepose_jax.weights.find import find_weights
from blazepose_jax.weights.loading import (
    TFLiteFile,
    Weights,
    load_weights,
    read_stored,
    read_tflite_files,
)
from blazepose_jax.weights.mediapipe import import_weights
from blazepose_jax.weights.own import ExperimentFile

__all__ = [
    "ExperimentFile",
    "StoredNetwork",
    "TFLiteFile",
    "Weights",
    "find_weights",
    "import_weights",
    "load_weights",
    "read_stored",
    "read_tflite_files",
    "save_weights",
]
