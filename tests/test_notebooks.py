"""The notebooks, run as a reader runs them but on small inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, shared

FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def cells_of(name: str) -> list[dict]:
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def run_notebook(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Run all code cells in one namespace, in an empty folder; returns the namespace."""
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BLAZEPOSE_NOTEBOOK_FAST", "1")
    monkeypatch.delenv("BLAZEPOSE_WEIGHTS", raising=False)
    plt.switch_backend("agg")
    namespace = {"__name__": "__main__"}
    for number, cell in enumerate(cells_of(name)):
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), f"{name}, cell {number}", "exec")
            exec(code, namespace)
            # What a notebook would show is drawn, too.
            for figure in map(plt.figure, plt.get_fignums()):
                figure.canvas.draw()
            plt.close("all")
    return namespace


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_stored_without_outputs_and_runs_without_jupyter(name):
    ids = []
    for cell in cells_of(name):
        ids.append(cell["id"])
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            assert not any(line.lstrip().startswith(("%", "!")) for line in cell["source"])
    assert len(set(ids)) == len(ids)


@pytest.mark.long
def test_inference_as_a_function(tmp_path, monkeypatch):
    models = shared("models")
    for file in ("pose_detection.tflite", "pose_landmark_lite.tflite"):
        shared("models", file)
    monkeypatch.setenv("BLAZEPOSE_SHARED", str(models.parent))
    found = run_notebook("inference_as_a_function", tmp_path, monkeypatch)
    nose = found["nose"]
    # Her nose lies at (223, 128) by Google's Full and its file; this is Lite.
    everybody = found["everybody"]
    assert everybody.present.tolist() == [True, True, True, False]
    np.testing.assert_allclose(everybody.keypoints[0, nose, :2], (223, 128), atol=12)
    assert abs(everybody.keypoints[1, nose, 0] - (511 - 223)) < 12
    assert int(found["last"].detector_runs) == 1
    assert found["found"].present.all()
    assert np.linalg.norm(found["tracked"] - found["path"], axis=-1).max() < 40
    # One program or another, the same numbers; what is rounded otherwise grows from frame to frame.
    assert found["loop_apart"][0] < 0.5
    assert found["loop_apart"].max() < 40
    assert found["vmap_apart"] < 0.1
    # The gradient is that of finite differences, and outlives the rounding of the warp.
    assert found["by_crop"].shape == (1, 256, 256, 3)
    assert found["by_picture"].shape == (512, 512, 3)
    np.testing.assert_allclose(found["measured"], found["predicted"], rtol=0.3)
    assert found["moved"] - found["x"] > 2
    assert abs(found["by_noise"] - found["x"]) < 1


@pytest.mark.long
def test_train_your_own_keypoints(tmp_path, monkeypatch):
    pytest.importorskip("litert_converter")
    found = run_notebook("train_your_own_keypoints", tmp_path, monkeypatch)
    assert int(found["state"].step) == found["STEPS"]
    losses = [row["loss"] for row in found["learned"]]
    assert losses[-1] < 0.9 * losses[0]
    assert found["evaluation"]["people"] == found["TESTED"]
    assert set(found["evaluation"]["per_keypoint"]) == set(found["skeleton"].keypoints)
    assert found["outputs"]["landmarks"].shape == (1, 9 * 5)
    assert found["outputs"]["presence"].shape == (1, 1)
    assert np.isfinite(found["points"]).all()
    assert found["outputs"]["heatmap"].shape == (1, 32, 32, 9)
    # The peak of a map, and the centroid of 7 x 7 cells round it; that the file's numbers are those
    # of JAX is what the export has checked.
    assert found["apart"].max() < 4 * found["cell"]
    for picture in ("sheet.png", "found.png"):
        assert (tmp_path / picture).stat().st_size > 10_000


def test_a_squat_report(tmp_path, monkeypatch):
    monkeypatch.setenv("BLAZEPOSE_VIDEO", str(shared("data", "video", "pose_squats.mp4")))
    found = run_notebook("squat_report", tmp_path, monkeypatch)
    assert len(found["squats"].counted) == 2
    assert [one.reason for one in found["squats"].rejected] == ["unfinished"]
    assert 60 < np.nanmin(found["knee"]) < 110
    # She is found once and followed to the end.
    assert found["tracker"].detector_runs == 1
    assert {one["id"] for frame in found["frames"] for one in frame["people"]} == {0}
    assert [len(frame["people"]) for frame in found["frames"]] == [1] * 65
