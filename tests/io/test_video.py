import struct
import warnings

import numpy as np
import pytest
from helpers import gradient, shared, write_clip
from PIL import Image

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.frames import as_rgb, to_frame
from blazepose_jax.io.images import read_image
from blazepose_jax.io.media import read_media
from blazepose_jax.io.video_writer import VideoWriter


def test_round_trip_keeps_times_order_and_pictures(tmp_path):
    times = [0.0, 0.1, 0.15, 0.4, 0.5]
    path = write_clip(tmp_path / "clip.mp4", 5, times=times)
    media = read_media(path)
    assert media.count == 5
    pictures = list(media)
    assert [p.index for p in pictures] == list(range(5))
    np.testing.assert_allclose([p.time for p in pictures], times, atol=1e-4)
    np.testing.assert_allclose(pictures[3].image[5, 5], [250, 20, 20], atol=25)
    assert len(list(media)) == 5  # a second pass starts again


def test_repeated_times_are_moved_apart(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", 4, times=[0.0, 0.5, 0.5, 0.2])
    times = [p.time for p in read_media(path)]
    assert len(times) == 4
    assert times == sorted(set(times))


def test_odd_sizes_and_sizes_that_change_become_playable(tmp_path):
    writer = VideoWriter(tmp_path / "odd.mp4", 10)
    writer.write(gradient(0, 65, 47), 0.0)
    writer.write(gradient(1, 33, 99), 0.1)
    writer.close()
    assert [p.image.shape for p in read_media(tmp_path / "odd.mp4")] == [(46, 64, 3)] * 2
    with pytest.raises(BlazePoseError, match="1x1 pixels"):
        VideoWriter(tmp_path / "dot.mp4", 10).write(np.zeros((1, 1, 3), np.uint8), 0.0)


def test_browser_format(tmp_path):
    import av

    path = write_clip(tmp_path / "clip.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playable before it is complete


def test_nothing_half_written(tmp_path):
    writer = VideoWriter(tmp_path / "clip.mp4", 10)
    writer.write(gradient(0), 0.0)
    assert not (tmp_path / "clip.mp4").exists()
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_start_and_end(tmp_path):
    path = write_clip(tmp_path / "clip.mp4")
    assert [p.index for p in read_media(path, start=0.25, end=0.6)] == [3, 4, 5]
    with pytest.raises(BlazePoseError, match="is empty: start"):
        read_media(path, start=3, end=2)
    with pytest.raises(BlazePoseError, match=r"no frame between 7 and None s: it ends at 1\.00 s"):
        list(read_media(path, start=7))


@pytest.mark.parametrize(
    ("degrees", "matrix"), [(90, (0, 1, -1, 0)), (180, (-1, 0, 0, -1)), (270, (0, -1, 1, 0))]
)
def test_rotation_metadata_is_honoured(tmp_path, degrees, matrix):
    path = write_clip(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the 3x3 display matrix, 16.16 fixed point
    a, b, c, d = (v * 65536 for v in matrix)
    assert struct.unpack(">9i", data[at : at + 36]) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    expected = np.rot90(gradient(0), -degrees // 90)  # a player turns clockwise by this
    found = next(iter(read_media(path))).image
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 12


def test_cut_video_gives_what_there_is_and_a_warning(tmp_path):
    path = tmp_path / "cut.mp4"
    whole = write_clip(tmp_path / "clip.mp4", 200, width=320, height=240).read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.warns(UserWarning, match=r"cut\.mp4 is cut: \d+ of 200 frames"):
        pictures = list(read_media(path))
    assert 20 < len(pictures) < 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, I am a text\n" * 50, "cannot be opened"),
        (bytes(5000), "cannot be opened"),
    ],
)
def test_files_that_are_no_video(tmp_path, content, message):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(BlazePoseError, match=message):
        list(read_media(tmp_path / "x.mp4"))


def test_video_without_a_decodable_frame(tmp_path):
    path = write_clip(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
    with pytest.raises(BlazePoseError, match="no decodable frame"):
        list(read_media(path))


def test_sound_without_pictures(tmp_path):
    import av

    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(BlazePoseError, match="no video stream"):
        read_media(tmp_path / "song.mp4")


def test_missing_things(tmp_path):
    with pytest.raises(BlazePoseError, match="does not exist"):
        read_media(tmp_path / "gone.mp4")
    with pytest.raises(BlazePoseError, match="holds no images"):
        read_media(tmp_path)
    with pytest.raises(BlazePoseError, match="is no number"):
        read_media("camera:front")
    with pytest.raises(BlazePoseError, match="does not exist"):
        read_media("camera:77")


def test_folder_is_independent_pictures_in_name_order(tmp_path):
    for name in ("b.png", "a.jpg", "notes.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no image", encoding="utf-8")
        else:
            Image.fromarray(gradient(0)).save(tmp_path / name)
    media = read_media(tmp_path)
    assert not media.is_sequence
    assert [p.file for p in media] == ["a.jpg", "b.png"]
    assert read_media(tmp_path, sequence=True).is_sequence
    (tmp_path / "aa.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match=r"skipped: .*aa\.png is no readable image"):
        assert [p.file for p in read_media(tmp_path)] == ["a.jpg", "b.png"]


def test_images_of_every_kind(tmp_path):
    rgb = gradient(0)
    grey = rgb[:, :, 0]
    variants = {
        "rgb.png": Image.fromarray(rgb),
        "grey.png": Image.fromarray(grey),
        "rgba.png": Image.fromarray(np.dstack([rgb, np.full_like(grey, 7)])),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "palette.png": Image.fromarray(rgb).quantize(8),
        "dot.png": Image.fromarray(rgb[:1, :1]),
    }
    for name, image in variants.items():
        image.save(tmp_path / name)
        found = read_image(tmp_path / name)
        assert found.dtype == np.uint8
        assert found.shape == (*np.asarray(image).shape[:2], 3)
        expected = np.repeat(grey[..., None], 3, 2) if name in ("grey.png", "deep.png") else rgb
        np.testing.assert_allclose(
            found, expected[: found.shape[0], : found.shape[1]], atol=30, err_msg=name
        )


def test_photographs_taken_sideways_are_turned_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient(0)).save(tmp_path / "side.jpg", exif=exif)
    assert read_image(tmp_path / "side.jpg").shape == (64, 48, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), r"shape \(0, 5, 3\)"),
        (np.zeros((5, 5, 2), np.uint8), r"shape \(5, 5, 2\)"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.zeros((5, 5, 3)), "type float64"),
    ],
)
def test_arrays_that_are_no_images(image, message):
    with pytest.raises(BlazePoseError, match=message):
        as_rgb(image)


def test_frames_keep_pixels_and_size():
    frame = to_frame(gradient(0))
    assert frame.pixels.shape == (65536, 3)
    np.testing.assert_array_equal(frame.size, [64, 48])
    np.testing.assert_array_equal(frame.pixels[: 64 * 48].reshape(48, 64, 3), gradient(0))
    assert as_rgb(np.zeros((1, 1), np.uint16)).shape == (1, 1, 3)


def test_real_clips_open():
    for name, count, size in [("pose_squats.mp4", 65, (1280, 720, 3)), ("pose_1.mp4", 120, None)]:
        pictures = list(read_media(shared("data", "video", name)))
        assert len(pictures) == count
        assert size is None or pictures[0].image.shape == size


def test_a_video_that_is_too_wide_is_an_error(tmp_path):
    writer = VideoWriter(tmp_path / "wide.mp4", 10)
    with pytest.raises(BlazePoseError, match="20000x2 pixels cannot be written: its sides are"):
        writer.write(np.zeros((2, 20_000, 3), np.uint8), 0.0)
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_a_picture_that_is_read_silences_nobody_else(tmp_path, monkeypatch):
    """Several threads read pictures, and what one of them warns of is heard."""

    def warning(pixels):
        warnings.warn("of another thread", stacklevel=1)
        return as_rgb(pixels)

    Image.fromarray(gradient(0, 8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr("blazepose_jax.io.images.as_rgb", warning)
    with pytest.warns(UserWarning, match="of another thread"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.avi", "a.webm", "a.gif", "a"])
def test_containers_without_times_and_unknown_ones_are_refused(tmp_path, name):
    with pytest.raises(BlazePoseError, match=r"known are \.mp4, \.m4v, \.mkv, \.mov"):
        VideoWriter(tmp_path / name, 10)
    assert not list(tmp_path.iterdir())
