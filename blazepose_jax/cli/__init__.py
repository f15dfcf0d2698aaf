"""The command line.

A command is a module with ``add_arguments(parser)`` and ``run(args)``, and a row of ``COMMANDS``.
"""

# name -> (module, help line). A module is imported when its command is called, so that none needs
# what another one does.
COMMANDS = {
    "models": ("blazepose_jax.cli.models", "list the networks"),
    "weights": ("blazepose_jax.cli.weights", "list weights by name, fetch or remove them"),
    "import": ("blazepose_jax.cli.import_files", "turn Google's files into a weights directory"),
    "track": ("blazepose_jax.cli.track", "track people in a video, image, folder or camera"),
    "corpus": ("blazepose_jax.cli.corpus", "track thousands of clips, on one machine or many"),
    "analyze": ("blazepose_jax.cli.analyze", "angles and repetitions of a video"),
    "evaluate": ("blazepose_jax.cli.evaluate", "measure a pose net on annotated photographs"),
    "train": ("blazepose_jax.cli.train", "train a network"),
    "data": (
        "blazepose_jax.cli.data",
        "prepare or label a data set, or look at what a network sees of it",
    ),
    "skeleton": (
        "blazepose_jax.cli.skeleton",
        "describe a keypoint set of one's own: a file to begin with, and what it means",
    ),
    "export": (
        "blazepose_jax.cli.export",
        "write a .task for MediaPipe, a .tflite, an .onnx or a SavedModel",
    ),
    "live": (
        "blazepose_jax.cli.live",
        "a camera in a browser page, with angles and repetitions",
    ),
    "web": ("blazepose_jax.cli.web", "run weights in the browser, by MediaPipe's own runtime"),
    "demo": ("blazepose_jax.cli.demo", "track a moving photograph, and train a small net"),
}
