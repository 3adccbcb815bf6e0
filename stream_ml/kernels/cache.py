"""Where compiled kernels are kept: one folder whose name and stamp are the digest of all kernel sources.

numba's own stamp is the modification of the function's own file, so a helper changed in *another* kernel file would
leave stale machine code behind; and a folder that cannot be written is not even read. Here the digest of every kernel
source names the folder, a shipped read-only folder is read as it is, and where no folder can be written a temporary one
is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, config
from numba.core.runtime.nrt import rtsys

CONFIG: Any = config  # numba names its switches as it reads them
FOLDER = Path(__file__).resolve().parent
#: Compiler switches that numba leaves out of its own cache key.
SWITCHES = ("NUMBA_OPT", "NUMBA_BOUNDSCHECK", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")


def digest(folder: Path = FOLDER) -> str:
    """Return the digest of all kernel sources in `folder`, numba's version and its switches."""
    seen = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        seen.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    seen.update(numba.__version__.encode() + platform.python_version().encode())
    seen.update(repr([os.environ.get(name, "") for name in SWITCHES]).encode())
    return seen.hexdigest()[:20]


def _candidates() -> list[Path]:
    named = os.environ.get("STREAM_ML_KERNEL_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME")
    found = [Path(named)] if named else []
    found.append(FOLDER / "__kernels__")
    if home:
        found.append(Path(home) / ("stream_ml" if os.environ.get("XDG_CACHE_HOME") else ".cache/stream_ml"))
    found.append(Path(tempfile.gettempdir()) / f"stream_ml-{os.getuid() if hasattr(os, 'getuid') else 0}")
    return found


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def folder_of(stamp: str) -> Path:
    """Return the cache folder: the first that already holds this stamp, else the first that can be written."""
    candidates = [base / stamp for base in _candidates()]
    for path in candidates:
        if any(path.glob("*.nbi")):
            return path
    for path in candidates:
        if _writable(path):
            return path
    return Path(tempfile.mkdtemp(prefix="stream_ml-kernels-"))


class Locator(caching._CacheLocator):  # noqa: SLF001  (numba's documented extension point has no public name)
    """numba's cache locator for kernel files: our folder, our stamp."""

    stamp = ""
    folder = Path()

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._name = Path(py_file).stem

    def ensure_cache_path(self) -> None:
        """Do nothing: the folder was chosen and made by :func:`install`."""

    def get_cache_path(self) -> str:
        """Return the folder that holds this version of all kernels."""
        return str(self.folder)

    def get_source_stamp(self) -> str:
        """Return the digest of all kernel sources."""
        return self.stamp

    def get_disambiguator(self) -> str:
        """Return the module's name, since kernels of two files may share a name."""
        return self._name

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Locator | None:
        """Return a locator for kernels of this package, None for anyone else's functions."""
        return cls(py_func, py_file) if Path(py_file).resolve().parent == FOLDER else None


class Kept(caching.FunctionCache):
    """numba's cache of one kernel, read without the hundreds of functions that only a compiler needs to know.

    numba loads those whenever it looks into a cache, which takes longer than all kernels do; where a kernel is not in
    the cache the compiler loads them itself.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled kernel, None where it is not in the cache."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]


def install() -> Path:
    """Choose the cache folder, once; returns it."""
    if not Locator.stamp:
        Locator.stamp = digest()
        Locator.folder = folder_of(Locator.stamp)
    return Locator.folder


@contextlib.contextmanager
def locating() -> Iterator[None]:
    """Let numba ask our locator, and no other, while a kernel is being declared."""
    before = CONFIG.CACHE_LOCATOR_CLASSES
    CONFIG.CACHE_LOCATOR_CLASSES = f"{__name__}.{Locator.__name__}"
    try:
        yield
    finally:
        CONFIG.CACHE_LOCATOR_CLASSES = before
