"""BlazePose in JAX: 33 body points of people in images and videos.

Importing the package loads what inference needs, neither ``export`` nor ``training``.
"""

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.inference import Settings, detect, estimate, initial_state, track
from blazepose_jax.inference.batch import estimate_batch
from blazepose_jax.inference.streams import track_streams
from blazepose_jax.inference.tracker import Tracker
from blazepose_jax.io.cache import use_compilation_cache
from blazepose_jax.io.draw import draw_poses
from blazepose_jax.io.frames import to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.io.media import read_media
from blazepose_jax.models import MODELS, create_model, create_network
from blazepose_jax.skeleton import BLAZEPOSE, Skeleton
from blazepose_jax.structs import ROI, Frame, Poses
from blazepose_jax.weights import import_weights, load_weights

__version__ = "0.1.0"
__all__ = [
    "BLAZEPOSE",
    "MODELS",
    "ROI",
    "BlazePoseError",
    "Frame",
    "Poses",
    "Settings",
    "Skeleton",
    "Tracker",
    "create_model",
    "create_network",
    "detect",
    "draw_poses",
    "estimate",
    "estimate_batch",
    "import_weights",
    "initial_state",
    "load_weights",
    "read_image",
    "read_media",
    "to_frame",
    "track",
    "track_streams",
    "use_compilation_cache",
]
