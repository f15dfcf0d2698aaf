"""The guard of ``make bench``."""

import dataclasses

from benchmark_rows import Row, facts, regressions


def test_what_is_a_tenth_slower_by_its_ratio_is_named():
    before = [
        Row("lite", 10.0, "grouped convolutions", 30.0),
        Row("full", 20.0, "grouped convolutions", 60.0),
        Row("gone", 1.0, "grouped convolutions", 1.0),
    ]
    plain = [dataclasses.asdict(row) for row in before]
    # A machine of half the speed; and one that became slower by itself.
    after = [
        Row("lite", 20.0, "grouped convolutions", 60.0),
        Row("full", 48.0, "grouped convolutions", 120.0),
        Row("new", 9.0, "grouped convolutions", 1.0),
    ]
    assert regressions(before, plain) == []
    assert regressions(after, plain) == ["full: 0.40 times grouped convolutions, 0.33 before"]


def test_the_facts_name_machine_versions_and_commit():
    found = facts()
    assert "cores" in found["machine"]
    assert found["versions"]["jax"]
    assert set(found) == {"machine", "versions", "commit"}
