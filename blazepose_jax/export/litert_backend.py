"""Conversion by litert-converter: graphs as .tflite files, without TensorFlow."""

import importlib
import importlib.metadata
from types import ModuleType

import jax
import jax.numpy as jnp

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.graph import Graph

WORKING_VERSION = "0.5"


def convert(graph: Graph) -> bytes:
    """Convert to a float32 .tflite, whose marks ``flatbuffer`` has yet to replace.

    Source: litert-torch's own use of the converter; there is no public interface, so the version is
    pinned.

    Args:
      graph: made with ``convolution="tflite"``.

    Returns:
      A .tflite; its outputs have the converter's order.

    Raises:
      BlazePoseError: litert-converter is missing, another version, or refuses the graph.
    """
    api, ir, stablehlo, passmanager = _converter()
    call = jax.jit(graph.call)
    exported = jax.export.export(call, platforms=["cpu"])(
        jax.ShapeDtypeStruct(graph.input_shape, jnp.float32)
    )
    context = ir.Context()
    api.prepare_mlir_context(context)
    config = api.ConvertToTFLConfig()
    config.model_origin_framework = "JAX"
    try:
        with context:
            module = stablehlo.deserialize_portable_artifact(
                context, exported.mlir_module_serialized
            )
            main = next(
                op for op in module.body.operations if op.attributes["sym_name"].value == "main"
            )
            api.set_signature(main.operation, "serving_default", ["image"], list(graph.outputs))
            api.run_convert_to_tfl_passes(module, passmanager.PassManager(), config)
            return bytes(api.export_flatbuffer_to_bytes(module.operation))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BlazePoseError(
            f"litert-converter {importlib.metadata.version('litert-converter')} refuses what jax "
            f"{jax.__version__} writes ({reason[:200]}): export with --backend jax2tf"
        ) from error


def _converter() -> tuple[ModuleType, ModuleType, ModuleType, ModuleType]:
    """The converter's interface, and MLIR's modules ir, stablehlo and passmanager."""
    try:
        version = importlib.metadata.version("litert-converter")
        api = importlib.import_module("litert_converter.mlir._mlir_libs.converter_api_ext")
        from litert_converter.mlir import ir, passmanager
        from litert_converter.mlir.dialects import stablehlo
    except ImportError as error:
        raise BlazePoseError(
            "the litert backend needs litert-converter: pip install 'blazepose_jax[export]', or"
            " export with --backend jax2tf"
        ) from error
    if not version.startswith(WORKING_VERSION):
        raise BlazePoseError(
            f"litert-converter is {version}: this version knows {WORKING_VERSION}; install "
            f"litert-converter=={WORKING_VERSION}.0, or export with --backend jax2tf"
        )
    return api, ir, stablehlo, passmanager
