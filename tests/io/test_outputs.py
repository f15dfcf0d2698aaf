"""Outputs: whole under their names, destroying nothing that was read, leaving nothing behind."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pytest
from helpers import ROOT, fails, gradient, write_clip
from PIL import Image

from blazepose_jax.cli.main import main
from blazepose_jax.cli.track import check_mask_folder
from blazepose_jax.cli.track_outputs import mask_names
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io import files
from blazepose_jax.io.files import Output, OutputFolder, write_text
from blazepose_jax.io.interrupts import ending
from blazepose_jax.io.json_files import parse_json, read_json_lines
from blazepose_jax.io.media import read_media
from blazepose_jax.io.output_checks import check_outputs
from blazepose_jax.io.video_writer import VideoWriter


class TestInputs:
    def test_no_picture_of_the_folder(self, tmp_path, capsys):
        (tmp_path / "p").mkdir()
        Image.fromarray(gradient(0)).save(tmp_path / "p" / "a.jpg")
        before = (tmp_path / "p" / "a.jpg").read_bytes()
        for option in ("--json", "--csv", "--video"):
            said = fails(
                capsys,
                "track",
                tmp_path / "p",
                "--weights",
                "gone",
                option,
                tmp_path / "p" / "a.jpg",
            )
            assert "is the input: name another file" in said
        assert (tmp_path / "p" / "a.jpg").read_bytes() == before

    def test_files_folders_links_and_hard_links(self, tmp_path):
        (tmp_path / "w").mkdir()
        for name in ("in.mp4", "w/model.json", "free.json"):
            (tmp_path / name).write_text("x", encoding="utf-8")
        (tmp_path / "link.mp4").symlink_to(tmp_path / "in.mp4")
        os.link(tmp_path / "in.mp4", tmp_path / "hard.mp4")
        inputs = [tmp_path / "in.mp4", tmp_path / "w", None, tmp_path / "gone"]
        for output in ("in.mp4", "link.mp4", "hard.mp4", "w/model.json"):
            with pytest.raises(BlazePoseError, match="is the input"):
                check_outputs([str(tmp_path / output)], inputs)
        check_outputs([str(tmp_path / "free.json"), None, str(tmp_path / "w" / "new.json")], inputs)

    def test_the_annotations_that_are_evaluated(self, tmp_path, capsys, released):
        from helpers import person, write_folder

        folder = write_folder(tmp_path / "d", [person(1)])
        before = (folder / "annotations.json").read_bytes()
        for output in ("annotations.json", "a.jpg"):
            assert "is the input" in fails(
                capsys,
                "evaluate",
                "--weights",
                released,
                "--data",
                folder,
                "--json",
                folder / output,
            )
        assert "is the input" in fails(
            capsys,
            "evaluate",
            "--weights",
            released,
            "--data",
            folder,
            "--json",
            released / "model.json",
        )
        assert (folder / "annotations.json").read_bytes() == before

    def test_shared_memory_is_a_folder_like_others(self):
        place = files.Path("/dev/shm")
        if not place.is_dir():
            pytest.skip("this system has no /dev/shm")
        with tempfile.TemporaryDirectory(dir=place) as folder:
            (files.Path(folder) / "in.mp4").write_text("x", encoding="utf-8")
            with pytest.raises(BlazePoseError, match="is the input"):
                check_outputs([f"{folder}/in.mp4"], [f"{folder}/in.mp4"])
            with pytest.raises(BlazePoseError, match="two outputs"):
                check_outputs([f"{folder}/x.json"] * 2)
            out = Output(f"{folder}/in.mp4")
            out.part.write_text("half", encoding="utf-8")
            out.discard()
            assert (files.Path(folder) / "in.mp4").read_text(encoding="utf-8") == "x"

    def test_two_outputs_of_one_name(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "x.json")
        for pair in (("x.json", "x.json"), ("x.json", "./x.json"), ("x.json", "link")):
            with pytest.raises(BlazePoseError, match="two outputs have the name"):
                check_outputs([str(tmp_path / name) for name in pair])
        check_outputs(["/dev/null", "/dev/null"])


class TestNames:
    def test_a_link_is_written_through_and_a_dangling_one_too(self, tmp_path):
        (tmp_path / "there").mkdir()
        for name in ("old.json", "new.json"):
            (tmp_path / name).symlink_to(tmp_path / "there" / name)
        (tmp_path / "there" / "old.json").write_text("before", encoding="utf-8")
        for name in ("old.json", "new.json"):
            write_text(tmp_path / name, "after")
            assert (tmp_path / name).is_symlink()
            assert (tmp_path / "there" / name).read_text(encoding="utf-8") == "after"

    def test_devices_and_pipes_are_written_to(self, tmp_path):
        write_text(files.Path("/dev/null"), "x")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
        os.mkfifo(tmp_path / "pipe")
        heard = []
        reader = threading.Thread(
            target=lambda: heard.append((tmp_path / "pipe").read_text(encoding="utf-8")),
            daemon=True,
        )
        reader.start()
        write_text(tmp_path / "pipe", "hello")
        reader.join(10)
        assert heard == ["hello"]
        with pytest.raises(OSError, match="space"):
            write_text(files.Path("/dev/full"), "x")
        assert stat.S_ISCHR(os.stat("/dev/full").st_mode)

    def test_standard_output(self):
        code = (
            "from blazepose_jax.io.files import *; write_text(Path('/dev/stdout'), 'said')\n"
            "print(', kept')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
        )
        assert done.stdout == "said, kept\n"

    def test_modes(self, tmp_path):
        write_text(tmp_path / "new", "x")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~files.UMASK
        (tmp_path / "new").chmod(0o600)
        write_text(tmp_path / "new", "y")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600

    def test_an_error_leaves_what_was_there(self, tmp_path):
        (tmp_path / "a").write_text("before", encoding="utf-8")

        def half():
            with files.written(tmp_path / "a") as part:
                part.write_text("half", encoding="utf-8")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            half()
        assert (tmp_path / "a").read_text(encoding="utf-8") == "before"
        assert [p.name for p in tmp_path.iterdir()] == ["a"]

    def test_masks_of_different_pictures(self):
        names = mask_names(["a.jpg", "a.png", "A.webp", "b.jpg", "a.jpg.png"])
        assert len({name.casefold() for name in names.values()}) == 5
        assert names["b.jpg"] == "b.png"
        assert all(name.endswith(".png") for name in names.values())


class TestRuns:
    def test_long_names_that_differ_at_their_end(self, tmp_path):
        outputs = [Output(tmp_path / f"{'動画' * 30}{i}.json") for i in range(2)]
        for output in outputs:
            output.open().close()
            output.finish()
        assert len(list(tmp_path.iterdir())) == 2

    def test_two_runs_on_one_output(self, tmp_path):
        first = Output(tmp_path / "o.json")
        code = f"from blazepose_jax.io.files import Output; Output({str(tmp_path / 'o.json')!r})"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
        )
        assert "is being written by another run" in done.stderr
        first.open().close()
        first.finish()
        folder = OutputFolder(tmp_path / "masks")
        with pytest.raises(BlazePoseError, match="is being written by another run"):
            OutputFolder(tmp_path / "masks")
        folder.discard()
        assert [p.name for p in tmp_path.iterdir()] == ["o.json"]

    def test_what_a_killed_run_left_is_removed_by_the_next(self, tmp_path):
        code = (
            "import os, signal; from blazepose_jax.io.files import *\n"
            f"Output({str(tmp_path / 'o.json')!r}); OutputFolder({str(tmp_path / 'masks')!r})\n"
            "(lambda p: os.kill(os.getpid(), signal.SIGKILL))(0)"
        )
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
        assert len(list(tmp_path.iterdir())) == 2
        (tmp_path / ".o.json.notes").write_text("not ours", encoding="utf-8")
        write_text(tmp_path / "o.json", "x")
        folder = OutputFolder(tmp_path / "masks")
        (folder.part / "0.png").write_text("mine", encoding="utf-8")
        folder.finish()
        assert sorted(p.name for p in tmp_path.iterdir()) == [".o.json.notes", "masks", "o.json"]
        assert [p.name for p in (tmp_path / "masks").iterdir()] == ["0.png"]

    @pytest.mark.parametrize("can_swap", [True, False])
    def test_a_folder_takes_the_place_of_another(self, tmp_path, monkeypatch, can_swap):
        if not can_swap:
            monkeypatch.setattr(
                files.ctypes, "CDLL", lambda *a, **k: (_ for _ in ()).throw(TypeError)
            )
        for text in ("old", "new"):
            folder = OutputFolder(tmp_path / "w")
            (folder.part / "f").write_text(text, encoding="utf-8")
            folder.finish(replace=True)
        assert (tmp_path / "w" / "f").read_text(encoding="utf-8") == "new"
        assert [p.name for p in tmp_path.iterdir()] == ["w"]
        with pytest.raises(BlazePoseError, match="exists: name a new folder"):
            OutputFolder(tmp_path / "w").finish()

    def test_a_kill_between_the_renames_of_an_import_loses_nothing(self, tmp_path, monkeypatch):
        # Where the system swaps folders there is no moment between; where it cannot, the old one
        # comes back.
        folder = OutputFolder(tmp_path / "w")
        (folder.part / "f").write_text("old", encoding="utf-8")
        folder.finish()
        monkeypatch.setattr(files.ctypes, "CDLL", lambda *a, **k: (_ for _ in ()).throw(OSError))
        folder, renames = OutputFolder(tmp_path / "w"), []
        (folder.part / "f").write_text("new", encoding="utf-8")
        real = files.Path.rename

        def second_fails(self, target):
            renames.append(target)
            if len(renames) == 2:
                raise OSError("no")
            return real(self, target)

        monkeypatch.setattr(files.Path, "rename", second_fails)
        with pytest.raises(OSError, match="no"):
            folder.finish(replace=True)
        assert (tmp_path / "w" / "f").read_text(encoding="utf-8") == "old"


@contextlib.contextmanager
def stopped_when(ready):
    """Send this process SIGTERM once it is ``ready()``; after the block there is none to come."""
    ended = threading.Event()

    def stop():
        while not ended.wait(0.05):
            if ready():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    numbers = (signal.SIGINT, signal.SIGTERM)
    old = {number: signal.signal(number, lambda *_: None) for number in numbers}
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for number, handler in old.items():
            signal.signal(number, handler)


def test_an_interrupted_track_keeps_what_it_has_and_says_so(tmp_path, random_weights, capsys):
    clip = write_clip(tmp_path / "clip.mp4", 4000)
    command = [
        "track",
        str(clip),
        "--weights",
        str(random_weights),
        "--json",
        str(tmp_path / "o.json"),
        "--video",
        str(tmp_path / "o.mp4"),
        "--min-detection-confidence",
        "0",
        "--min-presence-confidence",
        "0",
    ]
    with stopped_when(lambda: any(p.stat().st_size > 20_000 for p in tmp_path.glob(".o.json.*"))):
        code = main(command)
    out, err = capsys.readouterr()
    assert code == 130, err
    assert "are kept" in err
    assert "Traceback" not in err
    frames = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))["frames"]
    assert 10 < len(frames) < 4000
    assert f"{len(frames)} frames" in out
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "clip.mp4") == ["o.json", "o.mp4"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
@pytest.mark.parametrize("several", [False, True])
def test_a_source_that_stalls_can_be_stopped(several, tmp_path, random_weights):
    """A camera or a pipe from which nothing comes any more; what came is kept."""
    clip, pipe = write_clip(tmp_path / "clip.mkv", 30), tmp_path / "live.mkv"
    os.mkfifo(pipe)
    out = tmp_path / "out"
    outputs = ["--output", out] if several else ["--json", tmp_path / "live.json"]
    words = ["track", pipe, "--weights", random_weights, "--search", "none", *outputs]
    # People everywhere, so that more is written than a buffer holds back.
    words += ["--min-detection-confidence", "0", "--min-presence-confidence", "0"]
    job = subprocess.Popen(
        [sys.executable, "-m", "blazepose_jax.cli", *map(str, words)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    data = clip.read_bytes()[:-200]
    # To read, too, and less than a pipe holds: neither opening nor writing waits for the job.
    assert len(data) < 60_000
    with open(os.open(pipe, os.O_RDWR), "wb", buffering=0) as writer:
        writer.write(data)
        part, sizes = out if several else tmp_path, [0] * 10
        for _ in range(600):
            assert job.poll() is None, job.communicate()[1]
            sizes = [*sizes[1:], sum(path.stat().st_size for path in part.glob(".live.json*"))]
            if 0 < sizes[0] == sizes[-1]:
                break
            time.sleep(0.1)
        job.send_signal(signal.SIGINT)
        _, err = job.communicate(timeout=60)
    assert job.returncode == 130, err
    assert "interrupted: the results" in err
    found = (out if several else tmp_path) / "live.json"
    assert json.loads(found.read_text())["frames"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_an_output_whose_reader_has_gone_takes_no_other_with_it(tmp_path, capsys, random_weights):
    write_clip(tmp_path / "clip.mp4", 5)
    os.mkfifo(tmp_path / "pipe.json")
    reader = subprocess.Popen(["head", "-c", "10", tmp_path / "pipe.json"], stdout=subprocess.PIPE)
    words = ["track", tmp_path / "clip.mp4", "--weights", random_weights, "--search", "none"]
    words += ["--min-detection-confidence", "0", "--min-presence-confidence", "0"]
    words += ["--json", tmp_path / "pipe.json", "--csv", tmp_path / "o.csv"]
    assert main([str(word) for word in words]) == 0
    assert len(reader.communicate(timeout=10)[0]) == 10
    assert "whoever read it has stopped reading; the other outputs go on" in capsys.readouterr().err
    rows = (tmp_path / "o.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows[1:]} == set("01234")


def test_a_failing_output_leaves_nothing_half_written(tmp_path, capsys, random_weights):
    write_clip(tmp_path / "clip.mp4", 3)
    (tmp_path / "out").mkdir()
    assert (
        main(
            [
                "track",
                str(tmp_path / "clip.mp4"),
                "--weights",
                str(random_weights),
                "--json",
                str(tmp_path / "out" / "o.json"),
                "--video",
                "/dev/full",
                "--mask",
                str(tmp_path / "out" / "masks"),
            ]
        )
        == 2
    )
    assert "/dev/full cannot be read or written" in capsys.readouterr().err
    # What was complete when the other one failed is kept.
    assert [p.name for p in (tmp_path / "out").iterdir()] in ([], ["o.json"])
    for path in (tmp_path / "out").iterdir():
        assert len(json.loads(path.read_text(encoding="utf-8"))["frames"]) == 3


def test_masks_of_pictures_of_one_stem(tmp_path, random_weights):
    (tmp_path / "p").mkdir()
    for name in ("a.png", "a.jpg"):
        Image.fromarray(gradient(0)).save(tmp_path / "p" / name)
    assert (
        main(
            [
                "track",
                str(tmp_path / "p"),
                "--weights",
                str(random_weights),
                "--mask",
                str(tmp_path / "m"),
                "--min-detection-confidence",
                "0",
                "--min-presence-confidence",
                "0",
            ]
        )
        == 0
    )
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["a.jpg.png", "a.png.png"]


@pytest.mark.parametrize("option", ["--json", "--csv", "--video"])
def test_a_full_disk_is_named(tmp_path, capsys, random_weights, option):
    write_clip(tmp_path / "clip.mp4", 3)
    assert (
        main(
            [
                "track",
                str(tmp_path / "clip.mp4"),
                "--weights",
                str(random_weights),
                option,
                "/dev/full",
                "--min-detection-confidence",
                "0",
            ]
        )
        == 2
    )
    assert (
        "/dev/full cannot be read or written (No space left on device)" in capsys.readouterr().err
    )


def test_pictures_that_cannot_be_written_are_said_first(tmp_path, capsys, random_weights):
    Image.fromarray(gradient(0)).save(tmp_path / "in.png")
    assert "which cannot be written: name a .png or .jpg" in fails(
        capsys,
        "track",
        tmp_path / "in.png",
        "--weights",
        random_weights,
        "--json",
        tmp_path / "o.json",
        "--video",
        tmp_path / "o.heic",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_an_overlay_into_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    heard = []
    reader = threading.Thread(
        target=lambda: heard.append((tmp_path / "pipe.mp4").read_bytes()), daemon=True
    )
    reader.start()
    write_clip(tmp_path / "pipe.mp4", 5)
    reader.join(10)
    (tmp_path / "copy.mp4").write_bytes(heard[0])
    assert len(list(read_media(tmp_path / "copy.mp4"))) == 5


def test_names_of_any_characters_and_lengths(tmp_path):
    for name in ("a" * 250, "line\nbreak.json", "\udcff.json"):
        write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text(encoding="utf-8") == "x"
    with pytest.raises(BlazePoseError, match="does not exist") as caught:
        read_media(tmp_path / "no\nsuch")
    assert "\n" not in str(caught.value)


def test_a_writer_without_frames_leaves_no_file(tmp_path):
    writer = VideoWriter(tmp_path / "o.mp4", 10)
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_terminal_is_heard_unless_it_is_to_be_ignored(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)
    assert signal.SIGHUP in ending()
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)  # nohup
    assert ending() == (signal.SIGTERM,)


def test_masks_inside_of_a_new_output_are_refused(tmp_path):
    with pytest.raises(BlazePoseError, match="lie in each other"):
        check_mask_folder(str(tmp_path / "o" / "masks"), (str(tmp_path / "o"), None))
    check_mask_folder(str(tmp_path / "masks"), (str(tmp_path / "o.json"), None))


def test_half_a_line_of_a_log_is_left_out(tmp_path):
    (tmp_path / "m.jsonl").write_bytes(
        b'{"step": 1}\n[3]\n{"step": 2}\nnot json\n\xff\xfe{"step"\n{"step": 3, "lo'
    )
    assert read_json_lines(tmp_path / "m.jsonl") == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b"{", b"", b"\xff", b"1" * 5000, b'{"a": \xff}', b"\xff\xfe{"]
)
def test_what_is_no_json_is_one_line(data):
    with pytest.raises(BlazePoseError, match="x is no JSON") as caught:
        parse_json(data, "x")
    assert "\n" not in str(caught.value)


def test_commands_need_no_posix_module():
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); sys.modules['fcntl'] = None\n"
        "from blazepose_jax.cli import COMMANDS; from blazepose_jax.cli.main import main\n"
        "import importlib\n"
        "[importlib.import_module(module) for module, _ in COMMANDS.values()]\n"
        "sys.exit(main(['weights']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert np.char.count(done.stdout, "full.lsp: ") == 1
