""".tflite files come in, a MediaPipe .task leaves: metadata added, an uncompressed aligned zip."""

import io
import struct
import zipfile
from typing import Any

from blazepose_jax.weights.tflite import load_schema

MEMBERS = {"detector": "pose_detector.tflite", "pose": "pose_landmarks_detector.tflite"}


def add_normalization(data: bytes, mean: float, std: float) -> bytes:
    """Add the metadata without which MediaPipe Tasks refuses a model.

    Args:
      data: a .tflite file.
      mean: input = (grey level - mean) / std.
      std: as above.

    Returns:
      The same model with a TFLITE_METADATA buffer that holds NormalizationOptions for input 0.
    """
    import flatbuffers

    schema = load_schema()
    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = model.subgraphs[0]
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = _metadata(mean, std, len(graph.outputs))
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [m for m in model.metadata or [] if m.name not in (b"TFLITE_METADATA", "TFLITE_METADATA")]
    model.metadata.append(entry)
    builder = flatbuffers.Builder(len(data) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _metadata(mean: float, std: float, outputs: int) -> bytes:
    """tensorflow/lite/schema metadata_schema.fbs, by field position: its generated reader is in no package we need."""
    import flatbuffers

    builder = flatbuffers.Builder(256)

    def table(size: int, fields: dict[int, int]) -> int:
        builder.StartObject(size)
        for position, offset in fields.items():
            builder.PrependUOffsetTRelativeSlot(position, offset, 0)
        return builder.EndObject()

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    def floats(value: float) -> int:
        builder.StartVector(4, 1, 4)
        builder.PrependFloat32(value)
        return builder.EndVector()

    normalization = table(2, {0: floats(mean), 1: floats(std)})
    builder.StartObject(2)  # ProcessUnit: union type 1 is NormalizationOptions
    builder.PrependUint8Slot(0, 1, 0)
    builder.PrependUOffsetTRelativeSlot(1, normalization, 0)
    unit = builder.EndObject()
    image = table(7, {4: vector([unit])})
    subgraph = table(6, {2: vector([image]), 3: vector([table(7, {}) for _ in range(outputs)])})
    version = builder.CreateString("1.0.0")
    root = table(8, {3: vector([subgraph]), 7: version})
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


def task_bytes(detector: bytes, pose: bytes) -> bytes:
    """Zip two .tflite files with metadata the way MediaPipe Tasks wants them.

    Stored, at the root, under fixed names, data aligned to 4 bytes so that a phone can map it (mediapipe.md 4.1).
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for kind, data in (("detector", detector), ("pose", pose)):
            info = zipfile.ZipInfo(MEMBERS[kind])
            pad = -(out.tell() + 30 + len(info.filename) + 4) % 4
            info.extra = struct.pack("<HH", 0xD935, pad) + bytes(pad)  # zipalign's padding field
            archive.writestr(info, data)
    return out.getvalue()
