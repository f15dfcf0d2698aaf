"""Cameras by number or name, as FFmpeg's devices."""

import os
import platform

from blazepose_jax.errors import BlazePoseError

PREFIX = "camera:"
# System -> FFmpeg's input format, and the device's name there.
CAMERAS = {
    "Linux": ("v4l2", "/dev/video{}"),
    "Darwin": ("avfoundation", "{}"),
    "Windows": ("dshow", "video={}"),
}


def find_camera(name: str) -> tuple[str, str]:
    """Find the device of a camera.

    Args:
      name: ``camera:0``, or ``camera:NAME`` on Windows.

    Returns:
      FFmpeg's input format, and the device.

    Raises:
      BlazePoseError: no number where one is needed, a number on Windows, or no such device.
    """
    number = name.removeprefix(PREFIX)
    format, pattern = CAMERAS.get(platform.system(), CAMERAS["Linux"])
    if format == "dshow" and number.isdecimal():
        raise BlazePoseError(
            f"camera {name!r} is a number, and Windows knows cameras by name: write camera:NAME,"
            " like camera:Integrated Camera"
        )
    if format != "dshow" and not (number.isdecimal() and number.isascii()):
        raise BlazePoseError(f"camera {name!r} is no number: write camera:0")
    device = pattern.format(number)
    if format == "v4l2" and not os.path.exists(device):
        raise BlazePoseError(
            f"camera {name!r} does not exist ({device} is missing): plug it in or give a file"
        )
    return format, device
