"""Networks on disk."""

from blazepose_jax.weights.directory import StoredNetwork, save_weights
from blazepose_jax.weights.loading import (
    TFLiteFile,
    Weights,
    import_weights,
    load_weights,
    read_stored,
    read_tflite_files,
)

__all__ = [
    "StoredNetwork",
    "TFLiteFile",
    "Weights",
    "import_weights",
    "load_weights",
    "read_stored",
    "read_tflite_files",
    "save_weights",
]
