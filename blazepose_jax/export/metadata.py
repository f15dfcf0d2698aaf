"""TFLite metadata: what MediaPipe needs to know of a file, and what people read."""

import io
import json
import zipfile

from blazepose_jax.export import flatbuffer
from blazepose_jax.export.description import describe_network, facts_of, meaning
from blazepose_jax.export.graph import Graph
from blazepose_jax.weights.mediapipe import EXPORT_DESCRIPTION
from blazepose_jax.weights.tflite import load_schema

LABELS = "keypoints.txt"
IMAGE = "RGB, square; the pipeline crops and rotates it"
# Of AssociatedFile (metadata_schema.fbs).
DESCRIPTIONS, TENSOR_AXIS_LABELS = 1, 2
# (name, description, its file of labels)
Output = tuple[str, str, str | None]


def describe(data: bytes, graph: Graph) -> bytes:
    """Add a TFLITE_METADATA buffer, the names of the rows and a description for programs.

    Args:
      data: a .tflite file made of ``graph``.
      graph: what it holds.

    Returns:
      The same model; ``blazepose.json`` (see ``describe_network``) and, for pose nets,
      ``keypoints.txt`` follow the flatbuffer as a zip, as TFLite's own tools write it.
    """
    files = {EXPORT_DESCRIPTION: json.dumps(describe_network(graph), indent=1) + "\n"}
    if graph.keypoints:
        files[LABELS] = "\n".join(graph.keypoints) + "\n"
    buffer = _Metadata().build(
        name=f"BlazePose {graph.kind} ({graph.model})",
        licence=graph.licence,
        description=(
            "Finds people by their faces and predicts alignment points."
            if graph.kind == "detector"
            else f"{len(graph.keypoints)} rows of {', '.join(graph.fields)}."
        ),
        mean=graph.mean,
        std=graph.std,
        outputs=[(name, _of_output(name, graph), _labels_of(name)) for name in graph.outputs],
        file=EXPORT_DESCRIPTION,
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for name, text in files.items():
            zipped.writestr(zipfile.ZipInfo(name), text)
    return _with_buffer(data, buffer) + archive.getvalue()


def _of_output(name: str, graph: Graph) -> str:
    return f"{meaning(name, graph)} ({facts_of(name)[1]})"


def _labels_of(name: str) -> str | None:
    return LABELS if name in ("landmarks", "world", "heatmap") else None


def add_normalization(data: bytes, mean: float, std: float) -> bytes:
    """Add nothing but NormalizationOptions for input 0.

    MediaPipe Tasks refuses a model without. Source: docs/mediapipe.md, 4.4.

    Args:
      data: a .tflite file, such as Google's own.
      mean: input = (grey level - mean) / std.
      std: as above.

    Returns:
      The same model with the metadata.
    """
    outputs = len(flatbuffer.read(data).subgraphs[0].outputs)
    return _with_buffer(data, _Metadata().build("", "", "", mean, std, [("", "", None)] * outputs))


def _with_buffer(data: bytes, content: bytes) -> bytes:
    """A .tflite with this TFLITE_METADATA buffer in the place of any other."""
    schema, model = load_schema(), flatbuffer.read(data)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = content
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [
        m for m in model.metadata or [] if m.name not in (b"TFLITE_METADATA", "TFLITE_METADATA")
    ]
    model.metadata.append(entry)
    return flatbuffer.write(model)


class _Metadata:
    """A writer of TFLite's metadata_schema.fbs, by field position.

    The generated classes of that schema are in no package that this one needs. Fields are written
    in the order of their offsets; a nested object must be complete before its parent starts.
    """

    def __init__(self):
        import flatbuffers

        self._b = flatbuffers.Builder(1024)

    def build(
        self,
        name: str,
        description: str,
        licence: str,
        mean: float,
        std: float,
        outputs: list[Output],
        file: str | None = None,
    ) -> bytes:
        """Build a ModelMetadata; ``file`` describes the whole model."""
        b = self._b
        normalization = self._table(2, {0: self._floats(mean), 1: self._floats(std)})
        unit = self._union(1, normalization)  # ProcessUnitOptions: NormalizationOptions
        b.StartObject(2)  # ImageProperties
        b.PrependInt8Slot(0, 1, 0)  # RGB
        content = self._union(2, b.EndObject())  # Content with ImageProperties
        image = self._table(
            7,
            {
                **self._texts({0: "image", 1: IMAGE}),
                3: content,
                4: self._vector([unit]),
            },
        )
        rows = [
            self._table(
                7,
                {**self._texts({0: output, 1: text}), **self._file(6, labels, TENSOR_AXIS_LABELS)},
            )
            for output, text, labels in outputs
        ]
        subgraph = self._table(10, {2: self._vector([image]), 3: self._vector(rows)})
        root = self._table(
            8,
            {
                **self._texts({0: name, 1: description, 5: licence, 7: "1.0.0"}),
                3: self._vector([subgraph]),
                **self._file(6, file, DESCRIPTIONS),
            },
        )
        b.Finish(root, b"M001")
        return bytes(b.Output())

    def _file(self, position: int, file: str | None, kind: int) -> dict[int, int]:
        """The associated files of a tensor or model: one, or none."""
        if file is None:
            return {}
        name = self._b.CreateString(file)
        self._b.StartObject(5)  # AssociatedFile
        self._b.PrependUOffsetTRelativeSlot(0, name, 0)
        self._b.PrependInt8Slot(2, kind, 0)
        return {position: self._vector([self._b.EndObject()])}

    def _texts(self, texts: dict[int, str]) -> dict[int, int]:
        return {position: self._b.CreateString(text) for position, text in texts.items() if text}

    def _union(self, kind: int, value: int) -> int:
        self._b.StartObject(2)
        self._b.PrependUint8Slot(0, kind, 0)
        self._b.PrependUOffsetTRelativeSlot(1, value, 0)
        return self._b.EndObject()

    def _table(self, size: int, fields: dict[int, int]) -> int:
        self._b.StartObject(size)
        for position, offset in fields.items():
            self._b.PrependUOffsetTRelativeSlot(position, offset, 0)
        return self._b.EndObject()

    def _vector(self, offsets: list[int]) -> int:
        self._b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._b.PrependUOffsetTRelative(offset)
        return self._b.EndVector()

    def _floats(self, value: float) -> int:
        self._b.StartVector(4, 1, 4)
        self._b.PrependFloat32(value)
        return self._b.EndVector()
