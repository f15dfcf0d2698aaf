"""Package metadata and extras; the core needs only jax, flax, optax, numpy and safetensors."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
LINES = (ROOT / "blazepose_jax" / "__init__.py").read_text("utf-8").splitlines()
VERSION = next(line.split('"')[1] for line in LINES if line.startswith("__version__"))
CORE = ["jax>=0.10", "flax>=0.12", "optax>=0.2.5", "numpy>=2.0", "safetensors>=0.5"]
EXTRAS = {
    # Video and image files in and out (pi-heif: pictures of iPhones), progress bars; the system's
    # cache folder.
    "video": ["av>=15", "pillow>=11.3", "pi-heif>=1.1", "tqdm>=4.66", "platformdirs>=4"],
    # Reading .tflite files, Google's released nets among them, and running them.
    "litert": ["ai-edge-litert>=2.1", "flatbuffers>=24", "platformdirs>=4"],
    # The photograph that `blazepose demo` is made of, and what its training writes.
    "demo": ["scikit-image>=0.25", "orbax-checkpoint>=0.12", "filelock>=3.20", "matplotlib>=3.10"],
    "train": [
        "orbax-checkpoint>=0.12",
        "filelock>=3.20",
        "grain>=0.2.12",
        "tensorflow-datasets>=4.9.9",
        "array-record>=0.8",
        "matplotlib>=3.10",
        "tensorboardX>=2.6",
        "importlib-resources>=6",  # TFDS looks for it when a builder lives in a package
    ],
    # Filters of signals, figures, and files of motion laboratories.
    "analysis": ["scipy>=1.13", "matplotlib>=3.10", "ezc3d>=1.6"],
    # TensorFlow is imported by the jax2tf exporter alone. litert-converter has no public interface:
    # pinned.
    "export": [
        "tensorflow-cpu>=2.21; sys_platform == 'linux' and platform_machine == 'x86_64'",
        "tensorflow>=2.21; sys_platform != 'linux' or platform_machine != 'x86_64'",
        "ai-edge-litert>=2.1",
        "flatbuffers>=24",
        "litert-converter==0.5.*",
        "ai-edge-quantizer==0.10.*",
        "scikit-image>=0.25",
    ],
    "onnx": ["tf2onnx>=1.17", "onnxruntime>=1.20"],
    "dev": ["pytest>=8", "pytest-xdist>=3.6", "ruff>=0.12", "pyright[nodejs]>=1.1.400"],
}
EXTRAS["all"] = sorted({need for needs in EXTRAS.values() for need in needs})
# Not in "all": Beam wants older versions of what others use; it has a lock and an environment of
# its own, with "video" and "litert".
EXTRAS["beam"] = ["apache-beam>=2.70"]
# Not in "all": what builds the documentation needs nothing of the rest.
# ruff formats the signatures.
EXTRAS["docs"] = ["mkdocs-material>=9.7", "mkdocstrings[python]>=1.0", "ruff>=0.12"]

# Folders beside the package that the wheel holds inside of it; blazepose_jax/io/shipped.py finds
# them in both places.
SHIPPED = {"blazepose_jax.experiments": "experiments", "blazepose_jax.web": "tools/web"}

setup(
    name="blazepose_jax",
    version=VERSION,
    description="BlazePose in JAX/Flax: a person's 33 body points, trained, tracked and exported",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    author="blazepose_jax maintainers",
    license_expression="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    project_urls={"Paper": "https://arxiv.org/abs/2006.10204"},
    keywords=["pose estimation", "blazepose", "mediapipe", "jax", "flax", "keypoints", "tflite"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=[*find_packages(include=["blazepose_jax", "blazepose_jax.*"]), *SHIPPED],
    package_dir=SHIPPED,
    package_data={
        "blazepose_jax": [
            "py.typed",
            "cli/demo/page.html",
            "cli/live/page.html",
            "cli/live/page.js",
            "inference/quality.safetensors",
            "weights/packaged/*/*",
        ],
        "blazepose_jax.web": ["index.html", "app.js", "package.json", "package-lock.json"],
    },
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["blazepose=blazepose_jax.cli.main:main"]},
)
