"""MediaPipe's browser runtime for ``blazepose web``: where it lies, and how it gets there."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.io.cache import cache_folder
from blazepose_jax.io.files import OutputFolder

PACKAGE = Path("node_modules", "@mediapipe", "tasks-vision")
DESCRIBED = ("package.json", "package-lock.json")
NPM_CI = ("ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")


def runtime_folder(page: Path) -> Path:
    """The npm package of the runtime: beside the page in a checkout, else in the cache.

    Args:
      page: the folder of the page, with package-lock.json.

    Returns:
      Its path, whether it exists or not. In the cache every lock file has a folder of its own.
    """
    if not _is_installed(page):
        return page / PACKAGE
    lock = hashlib.sha256((page / "package-lock.json").read_bytes()).hexdigest()
    return cache_folder() / f"web-{lock[:8]}" / PACKAGE


def fetch_runtime(page: Path, runtime: Path) -> None:
    """Fetch the runtime into the cache, with npm, from the user's registry; once.

    Args:
      page: the folder of the page, with package.json and package-lock.json.
      runtime: of ``runtime_folder``.

    Raises:
      BlazePoseError: in a checkout, where `make clients` does it; npm is missing, or fails.
    """
    if not _is_installed(page):
        raise BlazePoseError(f"{runtime} is missing: run `make clients`, or `npm ci` in {page}")
    npm = shutil.which("npm")
    if npm is None:
        raise BlazePoseError(
            "the page needs MediaPipe's browser runtime, which npm fetches, and npm is not"
            " installed: install Node.js"
        )
    folder = runtime.parents[len(PACKAGE.parts) - 1]
    print(f"fetching MediaPipe's browser runtime with npm ci, once, to {folder}", flush=True)
    out = OutputFolder(folder)
    try:
        for name in DESCRIBED:
            shutil.copyfile(page / name, out.part / name)
        done = subprocess.run(
            [npm, *NPM_CI], cwd=out.part, capture_output=True, encoding="utf-8", errors="replace"
        )
        if done.returncode != 0 or not (out.part / PACKAGE).is_dir():
            raise BlazePoseError(
                f"npm ci could not fetch MediaPipe's browser runtime ({_reason(done.stderr)}): try"
                f" again with network, or run npm ci in a copy of {page} and name its folder"
                f" {folder}"
            )
        out.finish(replace=True)
    finally:
        out.discard()


def _is_installed(page: Path) -> bool:
    """Whether the page lies inside of the package, which is no place to write to."""
    return page.parent.resolve() == Path(__file__).resolve().parents[1]


def _reason(log: str) -> str:
    """The first two lines of npm's complaint, without its prefix."""
    lines = [line.removeprefix("npm error").removeprefix("npm ERR!") for line in log.splitlines()]
    return "; ".join([line.strip() for line in lines if line.strip()][:2]) or "no reason given"
