"""Media of every make: read as a player shows them, or refused in one line."""

import http.server
import itertools
import os
import struct
import subprocess
import sys
import threading
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers import ROOT, gradient, shared, write_clip
from PIL import Image, TiffImagePlugin

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io import cameras, cropping, image_formats
from blazepose_jax.io.clock import Clock
from blazepose_jax.io.display import turned
from blazepose_jax.io.image_values import SMAX_SAMPLE
from blazepose_jax.io.images import is_turned, picture_size, read_image
from blazepose_jax.io.media import is_sequence, public_name, read_media
from blazepose_jax.io.video_writer import VideoWriter

ENDS = slice(0, 80), slice(-80, None)


def steps(count=6, width=48, height=32):
    return [Image.fromarray(gradient(3 * i, width, height)) for i in range(count)]


def brightness(pictures):
    return [float(p.image[-4:].mean()) for p in pictures]


class TestPictures:
    @pytest.mark.parametrize(
        ("name", "form"),
        [
            ("a.gif", "GIF"),
            ("a.webp", "WEBP"),
            ("a.png", "PNG"),
            ("a.avif", "AVIF"),
            ("no_suffix", "GIF"),
            ("wrong.jpg", "GIF"),
        ],
    )
    def test_animations_give_all_frames_with_their_times(self, tmp_path, form, name):
        first, *rest = steps()
        first.save(
            tmp_path / name,
            form,
            save_all=True,
            append_images=rest,
            duration=[100, 50, 200, 40, 100, 70],
        )
        found = read_media(tmp_path / name)
        pictures = list(found)
        assert (found.count, len(pictures), found.is_sequence) == (6, 6, True)
        np.testing.assert_allclose(
            [p.time for p in pictures], np.cumsum([0, 100, 50, 200, 40, 100]) / 1000, atol=0.011
        )
        assert brightness(pictures) == sorted(brightness(pictures))
        assert [p.index for p in read_media(tmp_path / name, start=0.12, end=0.36)] == [2, 3]

    def test_frames_of_no_duration_still_take_time(self, tmp_path):
        first, *rest = steps(4)
        first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=0)
        assert [p.time for p in read_media(tmp_path / "a.gif")] == pytest.approx([0, 0.1, 0.2, 0.3])

    def test_pages_of_a_tiff(self, tmp_path):
        first, *rest = steps(5)
        first.save(tmp_path / "stack.tif", save_all=True, append_images=rest)
        assert [p.time for p in read_media(tmp_path / "stack.tif")] == [0, 1, 2, 3, 4]
        found = read_media(tmp_path / "stack.tif", sequence=True, start=0.05)
        assert [p.index for p in found] == [2, 3, 4]
        with pytest.raises(BlazePoseError, match="has no time, so no range"):
            read_media(tmp_path / "stack.tif", end=3)

    def test_a_cut_animation_gives_what_there_is(self, tmp_path):
        first, *rest = steps(8, 200, 160)
        first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=100)
        data = (tmp_path / "a.gif").read_bytes()
        (tmp_path / "cut.gif").write_bytes(data[: len(data) * 2 // 3])
        with pytest.warns(UserWarning, match=r"cut\.gif is cut: \d of \d frames|skipped"):
            assert 1 <= len(list(read_media(tmp_path / "cut.gif"))) < 8

    def test_pictures_of_iphones_are_whole(self, tmp_path):
        pi_heif = pytest.importorskip("pi_heif")
        assert pi_heif.__version__
        image = read_image(shared("cases", "h01-heic-grid", "grid.heic"))
        assert image.shape == (640, 640, 3)
        # Each corner is of its own tile.
        corners = np.stack([image[y, x].mean((0, 1)) for y in ENDS for x in ENDS])
        expected = [(91, 178, 93), (97, 172, 105), (209, 185, 218), (182, 131, 160)]
        np.testing.assert_allclose(corners, expected, atol=3)
        assert picture_size(shared("cases", "h01-heic-grid", "grid.heic")) == (640, 640)

    def test_without_its_decoder_heic_is_refused_and_not_cut(self, tmp_path, monkeypatch):
        (tmp_path / "a.heic").write_bytes(
            struct.pack(">I", 24) + b"ftypheic" + bytes(12) + bytes(500)
        )
        monkeypatch.setattr(image_formats, "_register_heif", lambda: False)
        with pytest.raises(BlazePoseError, match="is a HEIC picture: pip install"):
            read_media(tmp_path / "a.heic")

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_turns_and_the_rest_of_it_may_be_broken(self, tmp_path, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x011A] = TiffImagePlugin.IFDRational(72, 1)
        data = exif.tobytes().replace(struct.pack(">II", 72, 1), struct.pack(">iI", -1, 0))
        data = data.replace(struct.pack("<II", 72, 1), struct.pack("<iI", -1, 0))
        Image.fromarray(gradient(0, 64, 48)).save(tmp_path / "a.jpg", exif=data, quality=95)
        found = read_image(tmp_path / "a.jpg")
        expected = {
            1: lambda a: a,
            2: np.fliplr,
            3: lambda a: np.rot90(a, 2),
            4: np.flipud,
            5: lambda a: a.swapaxes(0, 1),
            6: lambda a: np.rot90(a, -1),
            7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
            8: lambda a: np.rot90(a),
        }[orientation](gradient(0))
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 8
        assert picture_size(tmp_path / "a.jpg") == expected.shape[1::-1]

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP"])
    def test_other_formats_are_turned_once(self, tmp_path, form, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(gradient(0, 64, 48)).save(tmp_path / "a.jpg", exif=exif, quality=95)
        Image.fromarray(gradient(0, 64, 48)).save(tmp_path / "a", form, exif=exif)
        expected, found = read_image(tmp_path / "a.jpg"), read_image(tmp_path / "a")
        assert found.shape == expected.shape
        assert picture_size(tmp_path / "a") == found.shape[1::-1]
        assert is_turned(tmp_path / "a") == (orientation >= 5)
        assert np.abs(found.astype(int) - expected).mean() < 20

    def test_an_apngs_picture_for_others_is_no_frame(self, tmp_path):
        first, *rest = steps(4)
        first.save(
            tmp_path / "a.png", save_all=True, append_images=rest, default_image=True, duration=100
        )
        assert [p.time for p in read_media(tmp_path / "a.png")] == pytest.approx([0, 0.1, 0.2])

    def test_values_by_the_declared_range_and_not_by_what_is_there(self, tmp_path):
        ramp = np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(8, 0)
        for scale, dark in ((1.0, 1.0), (0.1, 0.1)):  # a dark frame stays dark
            Image.fromarray(ramp * scale).save(tmp_path / "f.tif")
            assert read_image(tmp_path / "f.tif").max() == round(255 * dark)
            Image.fromarray((ramp * scale * 65535).astype(np.uint16)).save(tmp_path / "i.png")
            assert read_image(tmp_path / "i.png").max() == pytest.approx(255 * dark, abs=1)
        twelve = TiffImagePlugin.ImageFileDirectory_v2()
        twelve[SMAX_SAMPLE] = 4095
        twelve.tagtype[SMAX_SAMPLE] = TiffImagePlugin.TiffTags.SHORT
        Image.fromarray((ramp * 4095).astype(np.uint16)).save(tmp_path / "t.tif", tiffinfo=twelve)
        assert read_image(tmp_path / "t.tif").max() == 255
        Image.fromarray(ramp * 2000).save(tmp_path / "bad.tif")
        with pytest.raises(BlazePoseError, match="they must lie within 0 to 1"):
            read_image(tmp_path / "bad.tif")
        stated = TiffImagePlugin.ImageFileDirectory_v2()
        stated[SMAX_SAMPLE] = 2000.0
        stated.tagtype[SMAX_SAMPLE] = TiffImagePlugin.TiffTags.FLOAT
        Image.fromarray(ramp * 2000).save(tmp_path / "good.tif", tiffinfo=stated)
        assert read_image(tmp_path / "good.tif").max() == 255
        Image.fromarray((ramp * 2**30).astype(np.int32)).save(tmp_path / "32.tif")
        with pytest.raises(BlazePoseError, match="no declared range"):
            read_image(tmp_path / "32.tif")

    def test_a_float_picture_with_holes_is_black_there(self, tmp_path):
        values = np.full((8, 8), 0.5, np.float32)
        values[2, 2] = np.nan
        Image.fromarray(values).save(tmp_path / "f.tif")
        found = read_image(tmp_path / "f.tif")
        assert found[2, 2, 0] == 0
        assert found[0, 0, 0] == 128


class TestFolders:
    def test_numbers_count_and_every_suffix_is_read(self, tmp_path):
        for name, form in (
            ("f10.jpg", "JPEG"),
            ("f2.JFIF", "JPEG"),
            ("f1.avif", "AVIF"),
            ("f3", "PNG"),
            ("F9.webp", "WEBP"),
        ):
            steps(1)[0].save(tmp_path / name, form)
        (tmp_path / ".hidden.jpg").write_bytes(b"x")
        (tmp_path / "Thumbs.db").write_bytes(bytes(100))
        assert [p.file for p in read_media(tmp_path)] == [
            "f1.avif",
            "f2.JFIF",
            "f3",
            "F9.webp",
            "f10.jpg",
        ]

    def test_what_is_no_picture_is_named_once(self, tmp_path):
        steps(1)[0].save(tmp_path / "a.png")
        write_clip(tmp_path / "film.mp4", 2)
        (tmp_path / "raw.cr2").write_bytes(bytes(range(256)) * 4)
        (tmp_path / "notes.txt").write_text("nobody takes this for a picture", encoding="utf-8")
        with pytest.warns(
            UserWarning, match=r"2 files are no pictures and are left out: film\.mp4, raw\.cr2"
        ):
            found = read_media(tmp_path)
        assert [p.file for p in found] == ["a.png"]

    def test_a_folder_of_broken_pictures_alone_is_an_error(self, tmp_path):
        for name in ("a.jpg", "b.png"):
            (tmp_path / name).write_bytes(b"junk")
        with (
            pytest.warns(UserWarning, match="skipped"),
            pytest.raises(BlazePoseError, match="none of the 2 pictures"),
        ):
            list(read_media(tmp_path))

    def test_one_broken_picture_stops_nothing(self, tmp_path):
        for i in range(3):
            Image.fromarray(gradient(i, 300, 200)).save(tmp_path / f"{i}.jpg")
        (tmp_path / "1.jpg").write_bytes((tmp_path / "1.jpg").read_bytes()[:400])
        with pytest.warns(UserWarning, match=r"skipped: .*1\.jpg is no readable image"):
            assert [p.file for p in read_media(tmp_path)] == ["0.jpg", "2.jpg"]

    def test_an_animation_among_pictures_is_one_and_said(self, tmp_path):
        first, *rest = steps(3)
        first.save(tmp_path / "a.gif", save_all=True, append_images=rest)
        first.save(tmp_path / "b.png")
        with pytest.warns(UserWarning, match=r"only the first frame was read \(a\.gif\)"):
            assert [p.file for p in read_media(tmp_path)] == ["a.gif", "b.png"]

    def test_a_range_of_a_sequence(self, tmp_path):
        for i in range(12):
            steps(1)[0].save(tmp_path / f"{i}.png")
        found = read_media(tmp_path, sequence=True, start=0.1, end=0.2)
        assert [(p.file, round(p.time, 3)) for p in found] == [
            ("3.png", 0.1),
            ("4.png", 0.133),
            ("5.png", 0.167),
        ]
        with pytest.raises(BlazePoseError, match=r"has no time.*or add --sequence"):
            read_media(tmp_path, start=0.1)


def packets_with(path, stamps, form="matroska", codec="mpeg4"):
    """A video whose packets have these presentation stamps, in ticks of 1/1000 s; None for none."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 1
        encoded = []
        for i in range(len(stamps)):
            encoded += stream.encode(av.VideoFrame.from_ndarray(gradient(3 * i), format="rgb24"))
        encoded += stream.encode(None)
        for packet, stamp in zip(encoded, stamps, strict=True):
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = stamp
            container.mux(packet)
    return path


class TestOneClock:
    def test_a_late_beginning_is_the_beginning(self, tmp_path):
        path = packets_with(
            tmp_path / "late.ts", [3601400 + 100 * i for i in range(8)], "mpegts", "mpeg2video"
        )
        times = [p.time for p in read_media(path)]
        np.testing.assert_allclose(times, np.arange(len(times)) / 10, atol=1e-3)
        assert [p.index for p in read_media(path, start=0.15, end=0.35)] == [2, 3]
        assert [p.index for p in read_media(path, end=0.05)] == [0]

    @pytest.mark.parametrize(
        "stamps",
        [
            [None] * 5 + [0.0, 0.1, 0.2],
            [-0.3, -0.2, -0.1, 0.0, 0.1],
            [0.0, 0.1, 0.1, 0.1, 0.2, 0.3],
            [0.0] * 6,
            [0.0, 0.1, 0.2, 0.0, 0.1, 0.2],
            [5.0, 5.1, None, None, 5.4],
            [9.0, 9.1, float("nan"), 9.3],
            [0.0, 0.1, 95443.0, 95443.1],
        ],
    )
    def test_it_begins_at_0_and_grows(self, stamps):
        clock = Clock(0.1)
        times = [clock(stamp) for stamp in stamps]
        assert times[0] == 0
        assert all(a < b for a, b in itertools.pairwise(times))
        if all(stamp is not None and np.isfinite(stamp) for stamp in stamps) and stamps == sorted(
            set(stamps)
        ):
            np.testing.assert_allclose(times, np.array(stamps) - stamps[0], atol=1e-9)

    def test_a_repeated_stamp_does_not_move_what_follows(self):
        clock = Clock(0.1)
        assert [clock(t) for t in (0.0, 0.1, 0.1, 0.2, 0.3)] == pytest.approx(
            [0, 0.1, 0.15, 0.2, 0.3]
        )

    def test_unstamped_frames_of_a_raw_stream(self, tmp_path):
        writer = av.open(str(tmp_path / "raw.h264"), "w")
        track = writer.add_stream("libx264", rate=10)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for i in range(6):
            writer.mux(track.encode(av.VideoFrame.from_ndarray(gradient(i), format="rgb24")))
        writer.mux(track.encode(None))
        writer.close()
        times = [p.time for p in read_media(tmp_path / "raw.h264")]
        assert len(times) == 6
        assert times[0] == 0
        assert all(a < b for a, b in itertools.pairwise(times))

    def test_a_trimmed_film_is_whole(self, tmp_path):
        path = shared("cases", "h08-edit-list", "trim.mp4")
        found = read_media(path)
        assert found.count == 15
        pictures = list(found)  # a warning would be an error
        np.testing.assert_allclose([p.time for p in pictures], np.arange(15) / 30, atol=2e-3)

    def test_overlays_begin_at_0(self, tmp_path):
        writer = VideoWriter(tmp_path / "late.mp4", 10)
        for i in range(4):
            writer.write(gradient(i), 3600 + i / 10)
        writer.close()
        with av.open(str(tmp_path / "late.mp4")) as container:
            assert container.duration / 1e6 < 1
        np.testing.assert_allclose(
            [p.time for p in read_media(tmp_path / "late.mp4")], np.arange(4) / 10, atol=1e-3
        )

    def test_the_same_frames_give_the_same_bytes(self, tmp_path):
        for name in ("a", "b"):
            write_clip(tmp_path / f"{name}.mp4", 40, width=321, height=243)
        assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
        # However many processors there are.
        code = (
            "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
            " sys.path.insert(0, 'tests')\nfrom helpers import"
            f" write_clip\nwrite_clip({str(tmp_path / 'c.mp4')!r}, 40, width=321, height=243)"
        )
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


def sizes_of_parents(data):
    """(offset of its size, in how many bytes) of each element round a Matroska video's settings."""
    begin, end = 0, len(data)
    for wanted in (cropping.SEGMENT, cropping.TRACKS, cropping.ENTRY, cropping.VIDEO):
        begin, end = next(
            (a, b) for name, a, b in cropping._elements(data, begin, end) if name == wanted
        )
        width = next(w for w in range(1, 9) if data[begin - w].bit_length() == 9 - w)
        yield begin - width, width


class TestShownPixels:
    @pytest.mark.parametrize(
        "matrix",
        [
            (1, 0, 0, 1),
            (-1, 0, 0, 1),
            (1, 0, 0, -1),
            (-1, 0, 0, -1),
            (0, 1, -1, 0),
            (0, -1, 1, 0),
            (0, 1, 1, 0),
            (0, -1, -1, 0),
        ],
    )
    def test_the_whole_display_matrix(self, tmp_path, matrix):
        path = write_clip(tmp_path / "clip.mp4", 2)
        data = bytearray(path.read_bytes())
        at = data.index(b"tkhd") + 4 + 40
        a, b, c, d = matrix
        data[at : at + 36] = struct.pack(
            ">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30
        )
        path.write_bytes(data)
        found = next(iter(read_media(path))).image
        # By the definition: pixel (x, y) is shown at (ax + cy, bx + dy), moved to begin at 0.
        y, x = np.mgrid[:48, :64]
        across, down = a * x + c * y, b * x + d * y
        across, down = across - across.min(), down - down.min()
        expected = np.zeros((down.max() + 1, across.max() + 1, 3), np.uint8)
        expected[down, across] = gradient(0)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 12
        np.testing.assert_array_equal(turned(gradient(0), np.array([[a, c], [b, d]])), expected)

    @pytest.mark.parametrize(
        ("aspect", "shape"),
        [
            ((2, 1), (48, 128)),
            ((1, 2), (96, 64)),
            ((16, 11), (48, 93)),
            ((0, 1), (48, 64)),
            ((100, 1), (48, 64)),
        ],
    )
    def test_pixels_that_are_not_square(self, tmp_path, aspect, shape):
        with av.open(str(tmp_path / "a.mkv"), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            if aspect[0]:
                stream.codec_context.sample_aspect_ratio = Fraction(*aspect)
            for i in range(3):
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(gradient(i), format="rgb24"))
                )
            container.mux(stream.encode(None))
        for picture in read_media(tmp_path / "a.mkv"):
            assert picture.image.shape == (*shape, 3)
            np.testing.assert_allclose(
                picture.image[shape[0] // 4, shape[1] // 4], [250, 20, 20], atol=30
            )

    def test_matroska_says_what_to_crop(self, tmp_path):
        path = packets_with(tmp_path / "whole.mkv", [0, 100, 200])
        data = bytearray(path.read_bytes())
        crops = b"\x54\xcc\x81\x08\x54\xbb\x81\x10"  # left 8, top 16
        parents = list(sizes_of_parents(bytes(data)))
        at = sum(parents[-1])
        for size_at, width in parents:
            size = int.from_bytes(data[size_at : size_at + width], "big") + len(crops)
            data[size_at : size_at + width] = size.to_bytes(width, "big")
        data[at:at] = crops
        (tmp_path / "cropped.mkv").write_bytes(data)
        whole, found = (
            next(iter(read_media(tmp_path / f"{n}.mkv"))).image for n in ("whole", "cropped")
        )
        np.testing.assert_array_equal(found, whole[16:, 8:])

    def test_clean_apertures_of_mp4(self, tmp_path):
        path = write_clip(tmp_path / "whole.mp4", 2)
        data = bytearray(path.read_bytes())
        # 48x40, 4 right and 2 up of the middle.
        clap = struct.pack(">I4sIIIIiIiI", 40, b"clap", 48, 1, 40, 1, 4, 1, -2, 1)
        at = data.index(b"avcC") - 4
        data[at:at] = clap
        for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
            place = data.index(name, data.index(b"moov")) - 4  # "avc1" is a brand, too
            data[place : place + 4] = struct.pack(
                ">I", struct.unpack_from(">I", data, place)[0] + 40
            )
        chunks = data.index(b"stco") + 8  # the samples lie 40 bytes farther on
        for i in range(struct.unpack_from(">I", data, chunks)[0]):
            struct.pack_into(
                ">I",
                data,
                chunks + 4 + 4 * i,
                struct.unpack_from(">I", data, chunks + 4 + 4 * i)[0] + 40,
            )
        (tmp_path / "cropped.mp4").write_bytes(data)
        whole, found = (
            next(iter(read_media(tmp_path / f"{n}.mp4"))).image for n in ("whole", "cropped")
        )
        np.testing.assert_array_equal(found, whole[2:42, 12:60])

    def test_of_several_films_the_marked_one_is_read_and_said(self, tmp_path):
        with av.open(str(tmp_path / "two.mkv"), "w") as container:
            films = []
            for size in ((64, 48), (96, 80)):
                stream = container.add_stream("mpeg4", rate=10)
                stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
                films.append(stream)
            films[0].disposition = av.stream.Disposition(0)
            films[1].disposition = av.stream.Disposition.default
            for i in range(3):
                for stream in films:
                    frame = av.VideoFrame.from_ndarray(
                        gradient(i, stream.width, stream.height), format="rgb24"
                    )
                    container.mux(stream.encode(frame))
            for stream in films:
                container.mux(stream.encode(None))
        with pytest.warns(UserWarning, match="holds 2 films: number 1 is read, marked as default"):
            found = read_media(tmp_path / "two.mkv")
        assert [p.image.shape for p in found] == [(80, 96, 3)] * 3


class TestStreams:
    def test_a_url_and_an_address_where_nobody_answers(self, tmp_path):
        write_clip(tmp_path / "clip.mp4", 5)

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(tmp_path))

            def log_message(self, *args):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            found = read_media(f"http://127.0.0.1:{server.server_address[1]}/clip.mp4", start=0.1)
            assert [p.index for p in found] == [1, 2, 3, 4]
            with pytest.raises(BlazePoseError, match="can be read once"):
                list(found)
            server.shutdown()
        with pytest.raises(BlazePoseError, match="cannot be opened"):
            read_media("http://127.0.0.1:9/clip.mp4")
        with pytest.raises(BlazePoseError, match="URLs of the kind gopher:// are not supported"):
            read_media("gopher://127.0.0.1/clip")
        assert read_media(f"file://{tmp_path}/clip.mp4").count == 5
        assert read_media(f"file://localhost{tmp_path}/clip.mp4").count == 5
        for name in ("file://clip.mp4", "file://clip[1].mp4", "file://", "file://other/clip.mp4"):
            with pytest.raises(BlazePoseError, match="write file:///path, with three"):
                read_media(name)
            with pytest.raises(BlazePoseError, match="file:///path"):
                is_sequence(name)

    def test_a_pipe(self, tmp_path):
        data = packets_with(tmp_path / "film.mkv", [100 * i for i in range(5)]).read_bytes()
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(data), daemon=True)
        writer.start()
        assert len(list(read_media(tmp_path / "pipe"))) == 5
        writer.join(5)

    def test_cameras_by_system(self, monkeypatch):
        monkeypatch.setattr(cameras.platform, "system", lambda: "Windows")
        with pytest.raises(BlazePoseError, match="Windows knows cameras by name"):
            read_media("camera:0")
        monkeypatch.setattr(cameras.platform, "system", lambda: "Linux")
        with pytest.raises(BlazePoseError, match="is no number"):
            read_media("camera:²")


def test_names_with_colons_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "2024-01-01T12:00:00.mp4", 3)
    assert len(list(read_media("2024-01-01T12:00:00.mp4"))) == 3


def test_a_text_is_no_film(tmp_path):
    (tmp_path / "notes.txt").write_text("hello " * 200, encoding="utf-8")
    with pytest.raises(BlazePoseError, match=r"is a text|cannot be opened"):
        read_media(tmp_path / "notes.txt")


def test_films_of_avi_with_b_frames_run_evenly(tmp_path):
    with av.open(str(tmp_path / "b.avi"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(gradient(2 * i), format="rgb24"))
            )
        container.mux(stream.encode(None))
    found = list(read_media(tmp_path / "b.avi"))
    np.testing.assert_allclose(np.diff([p.time for p in found]), 0.04, atol=1e-3)
    assert brightness(found) == sorted(brightness(found))


def test_a_cut_film_that_counts_no_frames(tmp_path):
    packets_with(tmp_path / "whole.mkv", [100 * i for i in range(60)])
    data = (tmp_path / "whole.mkv").read_bytes()
    assert len(list(read_media(tmp_path / "whole.mkv"))) == 60
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match=r"cut\.mkv is cut"):
        assert len(list(read_media(tmp_path / "cut.mkv"))) < 60


def test_photographs_with_exif_through_a_pipe(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(gradient(0)).save(tmp_path / "a.jpg", exif=exif)
    os.mkfifo(tmp_path / "pipe")
    data = (tmp_path / "a.jpg").read_bytes()
    threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(data), daemon=True).start()
    (picture,) = read_media(tmp_path / "pipe")
    assert picture.image.shape[2] == 3


def test_a_film_under_a_pictures_name_and_the_other_way_round(tmp_path):
    write_clip(tmp_path / "clip.mp4", 3).rename(tmp_path / "clip.jpg")
    assert len(list(read_media(tmp_path / "clip.jpg"))) == 3
    Image.fromarray(gradient(0)).save(tmp_path / "p.png")
    (tmp_path / "p.png").rename(tmp_path / "p.mp4")
    found = read_media(tmp_path / "p.mp4")
    assert (found.count, found.is_sequence) == (1, False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert next(iter(found)).image.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rtsp://admin:se%40cret@10.0.0.5:554/live?key=1", "rtsp://10.0.0.5:554/live"),
        ("https://user@[::1]:80/a.mp4#t=1", "https://[::1]:80/a.mp4"),
        ("http://[bad/a", "http://"),
        ("a@b?c#d.mp4", "a@b?c#d.mp4"),
        ("camera:0", "camera:0"),
    ],
)
def test_secrets_of_urls_stay_out_of_names(name, shown):
    assert public_name(name) == shown


def test_what_follows_each_other_is_known_before_it_is_opened(tmp_path):
    """As ``read_media`` has it, by whichever name."""
    pages = [Image.fromarray(np.full((16, 16, 3), v, np.uint8)) for v in (0, 90)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "moving.gif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "one.png")
    for name in ("pages.tiff", "moving.gif", "one.png", "."):
        for sequence in (False, True):
            path = str(tmp_path / name)
            expected = read_media(path, sequence=sequence).is_sequence
            assert is_sequence(path, sequence=sequence) == expected
            assert is_sequence(f"file://{path}", sequence=sequence) == expected
    assert is_sequence("https://host/a.jpg")
    assert is_sequence("-")
    assert is_sequence(str(tmp_path / "gone.mp4"))
    assert not is_sequence(str(tmp_path / "gone.jpg"))
