"""Weights by name: found, fetched, removed; all from an index that is a folder."""

import hashlib
import io
import json
import re
import shutil
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import fails, google_file, write_clip

import blazepose_jax as bp
from blazepose_jax.cli import weights as cli_weights
from blazepose_jax.cli.main import main
from blazepose_jax.cli.train import at_hand
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.temporary_names import reserve
from blazepose_jax.models import MODELS
from blazepose_jax.weights import (
    archive,
    fetch,
    find,
    find_weights,
    import_weights,
    names,
    read_stored,
    save_weights,
)
from blazepose_jax.weights.names import (
    ALIASES,
    NAMES,
    NPM,
    RELEASES,
    WHEEL,
    Package,
    Release,
    SourceFile,
)

TINY = Package("pip", "tiny==1", "tiny-1-*.whl", 3_000_000, "pip download tiny==1")
CONTENT = {"detector": b"a detector", "pose": b"a pose net"}
COPY = "import shutil, sys; shutil.copy(*sys.argv[1:])"


def tiny_file(kind):
    data = CONTENT[kind]
    return SourceFile(TINY, f"tiny/{kind}.tflite", hashlib.sha256(data).hexdigest(), len(data))


def write_wheel(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for kind, data in content.items():
            wheel.writestr(f"tiny/{kind}.tflite", data)
    return path


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("BLAZEPOSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def index(cache, monkeypatch, tmp_path, random_weights):
    """The wheel of an index whose networks are small; ``full`` and ``lite`` come from there."""
    wheel = write_wheel(tmp_path / "tiny-1-py3.whl", CONTENT)
    both = {kind: tiny_file(kind) for kind in CONTENT}
    detector = {"detector": both["detector"]}
    for name, files in (("full", both), ("lite", both), ("detector", detector)):
        release = Release(f"released-{name}", name, files, "free", "nothing", 1.0)
        monkeypatch.setitem(RELEASES, f"released-{name}", release)
    monkeypatch.setitem(
        fetch.MANAGERS,
        "pip",
        lambda package, folder: [sys.executable, "-c", COPY, str(wheel), str(folder)],
    )
    nets = read_stored(random_weights)

    def import_tiny(files):
        kinds = {data: kind for kind, data in CONTENT.items()}
        assert next(iter(files)) == "tiny==1:detector.tflite"
        return {kinds[data]: nets[kinds[data]] for data in files.values()}

    monkeypatch.setattr(fetch, "import_files", import_tiny)
    return wheel


@pytest.fixture
def cached(cache, random_weights):
    """``full`` in the cache, and no index."""
    return Path(shutil.copytree(random_weights, cache / "released-full"))


def test_names_are_complete():
    assert {short: f"released-{short}" for short in ("full", "lite", "heavy")} == ALIASES
    packaged = {path.name for path in find.PACKAGED.iterdir()}
    assert set(RELEASES) == {*ALIASES.values(), "released-detector", *packaged}
    for name, release in RELEASES.items():
        assert release.name == name
        assert release.model in MODELS
        if name in packaged:
            continue
        # A pose net's name brings its detector along, which decides what is imported first.
        assert next(iter(release.files)) == "detector"
        assert release.licence.startswith("Apache-2.0")
        for file in release.files.values():
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.size <= archive.MAX_MEMBER_BYTES


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("released-detector", "pose_detection"),
        ("released-lite", "pose_landmark_lite"),
        ("released-full", "pose_landmark_full"),
        ("released-heavy", "pose_landmark_heavy"),
    ],
)
def test_sums_are_those_of_googles_files(name, file):
    expected = list(RELEASES[name].files.values())[-1]
    assert hashlib.sha256(google_file(file).read_bytes()).hexdigest() == expected.sha256


def test_what_is_named_is_fetched_once_and_told(index, cache):
    said, passed = [], []

    def progress(items, total, name, unit):
        passed.append((total, name, unit, list(items)))
        return []

    place = find_weights("full", download=True, say=said.append, progress=progress)
    assert place == cache / "released-full"
    (line,) = said
    for part in ("released-full", "tiny==1", "pip", "3 MB", str(place)):
        assert part in line
    assert passed == [(3, "tiny==1", "MB", [1, 2, 3])]
    assert read_stored(place).keys() == CONTENT.keys()
    assert [path.name for path in cache.iterdir()] == ["released-full"]
    index.unlink()
    for name in ("full", "released-full"):
        assert find_weights(name) == find_weights(name, download=True) == place


def test_python_downloads_only_when_it_is_told_to(index, cache):
    for call in (bp.load_weights, bp.Tracker, read_stored):
        with pytest.raises(BlazePoseError, match=r"`blazepose weights fetch lite`.*download=True"):
            call("lite")
    assert not cache.exists()
    assert bp.load_weights("lite", download=True).pose is not None
    settings = bp.Settings(decode="regression")
    assert bp.Tracker("lite", "released-detector", settings=settings, download=True).model


def test_a_folder_of_a_known_name_is_meant_by_its_path(cached, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = Path("full")
    own.mkdir()
    assert find_weights("full") == cached
    assert find_weights("./full") == find_weights(own) == own
    with pytest.raises(BlazePoseError, match="'Full' do not exist: did you mean 'full'"):
        find_weights("Full")
    with pytest.raises(BlazePoseError, match=f"or one of {', '.join(NAMES)}"):
        find_weights("nothing")
    assert main(["weights", "fetch", "full"]) == 0
    assert main(["export", "--weights", "full", "--output", "x.tflite", "--backend", "none"]) == 2
    assert main(["web", "--weights", "full", "--detector", "nowhere"]) == 2
    assert "full stands for released-full; the path is ./full" in capsys.readouterr().err


def test_what_is_damaged_on_its_way_leaves_nothing(index, cache):
    write_wheel(index, {**CONTENT, "pose": b"another net"})
    with pytest.raises(BlazePoseError, match="it is damaged or no tiny==1; fetch it again"):
        find_weights("full", download=True)
    index.write_bytes(b"no zip")
    with pytest.raises(BlazePoseError, match="no readable zip"):
        find_weights("full", download=True)
    assert not list(cache.iterdir())


def test_without_network_one_line_says_what_to_copy_where(index, cache, monkeypatch):
    failing = "import sys; sys.exit('looking\\nERROR: no such host\\nmore')"
    monkeypatch.setitem(fetch.MANAGERS, "pip", lambda *_: [sys.executable, "-c", failing])
    with pytest.raises(BlazePoseError) as caught:
        find_weights("full", download=True)
    assert str(caught.value) == (
        "tiny==1 cannot be fetched (is there network? ERROR: no such host): run `pip download"
        f" tiny==1` on a machine with network, copy tiny-1-*.whl to {cache} and try again;"
        " without network take full.lsp, which ships with this package and was trained on LSP and"
        " LSP Extended, from Google's Full"
    )
    assert not list(cache.iterdir())
    shutil.copy(index, cache)
    assert find_weights("full", download=True) == cache / "released-full"


def test_a_manager_that_stops_answering_is_stopped(index, cache, monkeypatch):
    monkeypatch.setattr(fetch, "SILENT_SECONDS", 0.2)
    waiting = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setitem(fetch.MANAGERS, "pip", lambda *_: waiting)
    with pytest.raises(BlazePoseError, match="it stopped answering"):
        find_weights("full", download=True)
    assert not list(cache.iterdir())


def test_managers_that_are_missing_are_named_before_anything_is_fetched(
    cache, monkeypatch, tmp_path
):
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BlazePoseError, match=r"pip is not installed.*`uv pip install pip`"):
        fetch.MANAGERS["pip"](WHEEL, tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("BLAZEPOSE_CACHE", str(cache.parent))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = []
    with pytest.raises(BlazePoseError, match=r"npm is not installed.*Node.js.*mediapipe-pose-0"):
        find_weights("heavy", download=True, say=said.append)
    assert not said


def test_the_real_managers_are_called_with_a_pinned_version(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "which", lambda name: f"/bin/{name}")
    for package in (WHEEL, NPM):
        command = fetch.MANAGERS[package.manager](package, tmp_path)
        assert package.requirement in command
        assert str(tmp_path) in command
    assert "--ignore-scripts" in command


def test_a_cache_that_cannot_be_written_is_one_line(cache):
    cache.parent.write_text("", encoding="utf-8")
    with pytest.raises(BlazePoseError, match=r"cannot be written .*: set BLAZEPOSE_CACHE"):
        find_weights("full", download=True)


def test_two_at_once_give_one_folder(index, cache, monkeypatch):
    """Both have everything before either gives it its name."""
    both, imported, found = threading.Barrier(2), fetch.import_files, []

    def import_together(files):
        both.wait(60)
        return imported(files)

    monkeypatch.setattr(fetch, "import_files", import_together)
    threads = [
        threading.Thread(target=lambda: found.append(find_weights("full", download=True)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / "released-full"] * 2
    assert [path.name for path in cache.iterdir()] == ["released-full"]


def test_a_file_of_another_release_is_not_fetched_again(index, cache):
    (cache / "released-heavy").mkdir(parents=True)
    (cache / "released-heavy" / "detector.tflite").write_bytes(CONTENT["detector"])
    index.unlink()
    said = []
    find_weights("released-detector", download=True, say=said.append)
    assert not said
    # Of the same size, but another one.
    (cache / "released-heavy" / "detector.tflite").write_bytes(CONTENT["pose"])
    shutil.rmtree(cache / "released-detector")
    with pytest.raises(BlazePoseError, match="cannot be fetched"):
        find_weights("released-detector", download=True)


def test_damaged_weights_in_the_cache_say_how_to_remove_them(cached, tmp_path):
    elsewhere = shutil.copytree(cached, tmp_path / "released-full")
    for folder in (cached, elsewhere):
        path = folder / "pose.safetensors"
        data = np.frombuffer(path.read_bytes(), np.uint8).copy()
        data[-40] ^= 1
        path.write_bytes(data.tobytes())
    with pytest.raises(BlazePoseError, match=r"damaged.*`blazepose weights remove released-full`"):
        bp.load_weights("full")
    with pytest.raises(BlazePoseError, match="import or copy the weights again"):
        bp.load_weights(elsewhere)


def test_weights_are_listed_fetched_and_removed(index, cache, capsys):
    assert main(["weights"]) == 0
    out = capsys.readouterr().out
    assert "released-full (full): full" in out
    assert "not here; fetched from tiny==1" in out
    assert main(["weights", "fetch", "full"]) == 0
    out, err = capsys.readouterr()
    assert out == f"released-full lies in {cache / 'released-full'}\n"
    assert "fetching tiny==1" in err
    assert main(["weights", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["released-full"]["path"] == str(cache / "released-full")
    assert rows["released-lite"]["path"] is None
    assert rows["released-heavy"]["score"] == 91.5
    fields = {"alias", "model", "licence", "trained_on", "bytes", "protocol", "packages"}
    assert fields < rows["released-heavy"].keys()
    (cache / ".released-full.x1.part").mkdir()
    assert main(["weights", "remove", "full"]) == 0
    assert not list(cache.iterdir())
    capsys.readouterr()
    assert "is not in the cache" in fails(capsys, "weights", "remove", "full")
    assert "did you mean 'full'" in fails(capsys, "weights", "remove", "ful")
    assert "takes a NAME" in fails(capsys, "weights", "fetch")
    assert "takes no name" in fails(capsys, "weights", "list", "full")


def test_track_takes_full_where_nothing_is_named(cached, tmp_path, capsys):
    clip, out = write_clip(tmp_path / "clip.mp4", 2), tmp_path / "o.json"
    words = ["track", str(clip), "--decode", "regression", "--json"]
    assert main([*words, str(out)]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["frames"]
    capsys.readouterr()
    assert f"belongs to {str(cached)!r}" in fails(capsys, *words, cached / "model.json")


def test_a_run_keeps_the_permanent_name(cached):
    assert at_hand("full") == "released-full"
    for same in (None, "", "init", "./full", "runs/a/weights"):
        assert at_hand(same) == same


def write_tgz(path, **files):
    with tarfile.open(path, "w:gz") as package:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/pose_landmark_{name}.tflite")
            member.size = len(data)
            package.addfile(member, io.BytesIO(data))
    return path


def test_npm_packages_are_read_with_bounds(tmp_path, monkeypatch):
    path = write_tgz(tmp_path / "mediapipe-pose-1.tgz", lite=b"a net", full=b"another")
    assert archive.read_npm(path, "lite") == {"pose": b"a net"}
    assert archive.read_member(path, "package/pose_landmark_full.tflite") == b"another"
    with pytest.raises(BlazePoseError, match=r"lacks package/pose_landmark_heavy\.tflite"):
        import_weights([path], tmp_path / "w")
    with pytest.raises(BlazePoseError, match="did you mean 'heavy'"):
        import_weights([path], tmp_path / "w", pose="hevy")
    with pytest.raises(BlazePoseError, match=r"pose_landmark_lite|pose is no \.tflite file"):
        import_weights([path], tmp_path / "w", pose="lite")
    monkeypatch.setattr(archive, "MAX_TAR_BYTES", 100)
    with pytest.raises(BlazePoseError, match="unpacks to more than 100 bytes"):
        archive.read_npm(path, "lite")
    path.write_bytes(b"no tar")
    with pytest.raises(BlazePoseError, match=r"no readable \.tgz"):
        archive.read_npm(path, "lite")


def test_heavy_out_of_its_package(tmp_path):
    data = google_file("pose_landmark_heavy").read_bytes()
    path = write_tgz(tmp_path / "mediapipe-pose-0.5.1675469404.tgz", heavy=data, lite=b"-")
    assert main(["import", str(path), "--output", str(tmp_path / "w")]) == 0
    net = read_stored(tmp_path / "w")["pose"]
    assert (net.model, net.tflite) == ("heavy", data)
    assert "float32" in net.changes


def test_packaged_pose_nets_share_a_detector(cache, random_weights, tmp_path, monkeypatch, capsys):
    """Each would double its megabytes."""
    shelf = tmp_path / "packaged"
    for kind, name in (("detector", "d.own"), ("pose", "p.own")):
        save_weights(shelf / name, {kind: read_stored(random_weights)[kind]})
        shared = "d.own" if kind == "pose" else None
        release = Release(name, f"smoke_{kind}", {}, "free", "nothing", None, shared)
        monkeypatch.setitem(RELEASES, name, release)
    for module in (find, cli_weights):
        monkeypatch.setattr(module, "PACKAGED", shelf)
    monkeypatch.setattr(find, "NAMES", (*NAMES, "d.own", "p.own"))
    monkeypatch.setattr(names, "NAMES", (*NAMES, "d.own", "p.own"))
    assert set(read_stored("p.own")) == set(read_stored(shelf / "p.own")) == {"detector", "pose"}
    assert set(read_stored("d.own")) == {"detector"}
    own = read_stored("p.own", random_weights)["detector"]
    assert own.source == read_stored(random_weights)["detector"].source
    assert main(["weights", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["p.own"]["networks"] == ["pose"]
    assert rows["p.own"]["detector"] == "d.own"
    assert rows["p.own"]["bytes"] == (shelf / "p.own" / "pose.safetensors").stat().st_size
    assert rows["p.own"]["path"] == str(shelf / "p.own")
    assert not cache.exists()


def test_what_another_process_fetches_stays(index, cache, tmp_path, capsys):
    """And a link goes, not what it leads to; what killed runs left goes with the next fetch."""
    cache.mkdir(parents=True, exist_ok=True)
    fetching = reserve(cache / "released-full", folder=True, shared=True)
    (cache / ".released-full.x1.part").mkdir()
    other = reserve(cache / "released-full", folder=True, shared=True)
    assert fetching.path.is_dir()
    assert other.path != fetching.path
    assert not (cache / ".released-full.x1.part").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").touch()
    (cache / "released-full").symlink_to(tmp_path / "mine")
    assert main(["weights", "remove", "full"]) == 0
    assert "which another process is fetching" in capsys.readouterr().out
    assert fetching.path.is_dir()
    assert not (cache / "released-full").is_symlink()
    assert (tmp_path / "mine" / "a").is_file()
    for one in (fetching, other):
        one.release()
