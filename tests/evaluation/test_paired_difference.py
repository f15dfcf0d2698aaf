"""Reports on the same people, compared."""

import json
import sys

import pytest
from helpers import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import paired_difference


def write(path, hits):
    rows = {str(i): [hit, 10] for i, hit in enumerate(hits)}
    path.write_text(json.dumps({"hits_by_person": rows}))
    return str(path)


def test_differences_have_the_interval_of_people_drawn_together(tmp_path, capsys):
    base = write(tmp_path / "a.json", [2, 9] * 50)
    better = write(tmp_path / "b.json", [3, 10] * 50)  # by as much for everybody
    mixed = write(tmp_path / "c.json", [4, 9] * 50)
    paired_difference.main([base, better, mixed])
    rows = capsys.readouterr().out.splitlines()
    assert rows[-2] == "| b | 65.00 | +10.00 | +10.00 to +10.00 |"
    assert rows[-1].startswith("| c | 65.00 | +10.00 | +8.")
    with pytest.raises(SystemExit, match="other people"):
        paired_difference.main([base, write(tmp_path / "d.json", [1])])
    (tmp_path / "old.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"evaluate --json again"):
        paired_difference.main([base, str(tmp_path / "old.json")])
