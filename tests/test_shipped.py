"""What ships with the package: experiments by name, and the web page with its runtime."""

import os
import sys
import types

import pytest

from blazepose_jax.cli import web_runtime
from blazepose_jax.data.readers import DataConfig, open_readers
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.cache import cache_folder, graphs_cache, weights_cache, xla_cache
from blazepose_jax.io.shipped import CHECKOUT, shipped
from blazepose_jax.training.config import Config, load_experiment
from blazepose_jax.training.experiments import ALIASES, families, split_name


def test_every_folder_that_ships_is_here():
    for name in CHECKOUT:
        assert shipped(name).is_dir()
    assert families() == ["ablations", "demo", "detector", "finetune", "paper", "released", "smoke"]


@pytest.mark.parametrize("name", [*ALIASES, *ALIASES.values()])
def test_old_names_are_variants(name):
    assert load_experiment(name) == load_experiment(ALIASES.get(name, name))


def test_a_name_alone_is_the_first_variant():
    for family in families():
        assert isinstance(load_experiment(family), Config)
    assert load_experiment("paper") == load_experiment("paper:lite")
    assert load_experiment("paper").model.name == "paper_lite"
    assert load_experiment("released:full").model.name == "full"
    assert load_experiment("finetune:full").model.name == "full"
    assert load_experiment("paper:lite_cpu").model.side == 128


@pytest.mark.parametrize(
    ("name", "halves"),
    [
        ("paper", ("paper", "")),
        ("paper:full", ("paper", "full")),
        ("paper_lite_cpu", ("paper", "lite_cpu")),
        ("a/b.py", ("a/b.py", "")),
        ("a/b.py:two", ("a/b.py", "two")),
        (r"C:\runs\b.py", (r"C:\runs\b.py", "")),
        (r"C:\runs\b.py:two", (r"C:\runs\b.py", "two")),
    ],
)
def test_names_paths_and_drives(name, halves):
    assert split_name(name) == halves


def test_files_of_ones_own_have_variants_too(tmp_path):
    head = "from blazepose_jax.training.config import Config\n"
    plain, family = tmp_path / "plain.py", tmp_path / "family.py"
    plain.write_text(f"{head}def get_config():\n    return Config(seed=3)\n", encoding="utf-8")
    family.write_text(
        f"{head}VARIANTS = {{'one': 1, 'two': 2}}\n"
        "def get_config(variant):\n    return Config(seed=VARIANTS[variant])\n",
        encoding="utf-8",
    )
    assert load_experiment(str(plain)).seed == 3
    assert [load_experiment(f"{family}{v}").seed for v in ("", ":one", ":two")] == [1, 1, 2]
    (tmp_path / "none.py").write_text(f"{head}config = Config()\n", encoding="utf-8")
    (tmp_path / "other.py").write_text("def get_config():\n    return {}\n", encoding="utf-8")
    for name, message in [
        ("smok", "did you mean 'smoke'"),
        ("papr:lite", "did you mean 'paper'"),
        ("paper:ful", "unknown variant of paper 'ful': did you mean 'full'"),
        ("demo:lite", "has no VARIANTS"),
        (f"{plain}:one", "has no VARIANTS"),
        (f"{family}:twp", "did you mean 'two'"),
        (str(tmp_path / "gone.py"), "does not exist"),
        (str(tmp_path / "none.py"), "has no function get_config"),
        (str(tmp_path / "other.py"), "must return a Config"),
    ]:
        with pytest.raises(BlazePoseError, match=message):
            load_experiment(name)


def test_smoke_needs_no_data_and_takes_records_alone(records):
    data = load_experiment("smoke").data
    assert (data.records, data.rendered) == ("", 0.0)
    learn, _ = open_readers(DataConfig(people=20_000))
    assert learn.name == "rendered people"
    learn, held_out = open_readers(DataConfig(records=str(records), held_out=2))
    assert learn.name == "records"
    assert (len(learn), len(held_out)) == (10, 2)
    with pytest.raises(BlazePoseError, match="no records folder"):
        open_readers(DataConfig(records="nowhere"))


def test_the_cache_has_a_place(monkeypatch, tmp_path):
    monkeypatch.delenv("BLAZEPOSE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert cache_folder() == tmp_path / "blazepose_jax"
    known = types.ModuleType("platformdirs")
    known.user_cache_path = lambda name, appauthor: tmp_path / "system" / name
    monkeypatch.setitem(sys.modules, "platformdirs", known)
    assert cache_folder() == tmp_path / "system" / "blazepose_jax"
    monkeypatch.setenv("BLAZEPOSE_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    folders = (weights_cache(), xla_cache(), graphs_cache())
    assert [path.relative_to(tmp_path / "mine").as_posix() for path in folders] == [
        "weights",
        "xla",
        "graphs",
    ]


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """The page as in an installed package, a cache, and a folder for npm's stand-in."""
    monkeypatch.setattr(web_runtime, "_is_installed", lambda page: True)
    monkeypatch.setenv("BLAZEPOSE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return shipped("web"), web_runtime.runtime_folder(shipped("web"))


def stand_in(tmp_path, *lines):
    """A program called npm."""
    npm = tmp_path / "bin" / "npm"
    npm.write_text("\n".join([f"#!{sys.executable}", "import os, sys", *lines]), encoding="utf-8")
    npm.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a #! line")
def test_the_runtime_is_fetched_once_into_the_cache(installed, tmp_path, capsys):
    page, runtime = installed
    assert runtime.is_relative_to(tmp_path / "cache")
    stand_in(
        tmp_path,
        "assert sys.argv[1:3] == ['ci', '--omit=dev']",
        "assert os.path.isfile('package-lock.json')",
        f"os.makedirs({str(web_runtime.PACKAGE)!r})",
    )
    web_runtime.fetch_runtime(page, runtime)
    assert runtime.is_dir()
    assert "once" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a #! line")
def test_what_npm_cannot_fetch_leaves_nothing(installed, tmp_path):
    page, runtime = installed
    with pytest.raises(BlazePoseError, match=r"npm is not\s+installed"):
        web_runtime.fetch_runtime(page, runtime)
    stand_in(tmp_path, "sys.exit('npm error code EAI_AGAIN\\nnpm error no such host\\nmore')")
    with pytest.raises(BlazePoseError, match=r"\(code EAI_AGAIN; no such host\)"):
        web_runtime.fetch_runtime(page, runtime)
    assert not list((tmp_path / "cache").iterdir())
