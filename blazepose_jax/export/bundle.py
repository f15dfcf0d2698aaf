"""MediaPipe's .task bundles."""

import io
import struct
import zipfile

from blazepose_jax.weights.archive import TASK_MEMBERS


def task_bytes(detector: bytes, pose: bytes) -> bytes:
    """Zip two .tflite files with metadata the way MediaPipe Tasks wants them.

    Stored, at the root, under fixed names, data aligned to 4 bytes so that a phone can map it.
    Source: docs/mediapipe.md, 4.1.

    Args:
      detector: a .tflite file with metadata.
      pose: likewise.

    Returns:
      The .task file.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for kind, data in (("detector", detector), ("pose", pose)):
            info = zipfile.ZipInfo(TASK_MEMBERS[kind])
            pad = -(out.tell() + 30 + len(info.filename) + 4) % 4
            info.extra = struct.pack("<HH", 0xD935, pad) + bytes(pad)  # zipalign's padding field
            archive.writestr(info, data)
    return out.getvalue()
