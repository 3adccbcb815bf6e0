"""Loads a user's file and finds its pipeline."""

from __future__ import annotations

import linecache
import re
import sys
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

from stream_ml.errors import DeclarationError, Place
from stream_ml.language.agree import check_types
from stream_ml.language.fields import complete, guarded_import
from stream_ml.language.pipeline import Pipeline
from stream_ml.language.places import joined
from stream_ml.language.specs import spec_of

_PREFIX = "stream_ml_user_"


def load(path: str | Path) -> Pipeline:
    """Run a user's file and return the one Pipeline in it.

    Parameters
    ----------
    path
        The file. It is registered in `sys.modules` under a name made of its own, wherever it lies, so that what it
        defines can be pickled and found again; modules beside it can be imported.

    Raises
    ------
    DeclarationError
        No such file, an error in it with its line, no pipeline or several.
    """
    file = Path(path)
    if not file.is_file():
        near = [one.name for one in sorted(file.parent.glob("*.py"))] if file.parent.is_dir() else []
        cure = f"In {file.parent} there are {joined(near)}" if near else "Give the path of your pipeline's file"
        cause = f"{file} is no file"
        raise DeclarationError(cause, f"{cure}.")
    file = file.resolve()
    module = _run(file)
    for value in list(vars(module).values()):
        if isinstance(value, type) and issubclass(value, BaseModel) and spec_of(value) is not None:
            complete(value)
            check_types(value)
    return _the_pipeline(module, file)


def module_name(file: Path) -> str:
    """Return the name under which a user's file is registered."""
    return _PREFIX + re.sub(r"\W", "_", file.stem)


def _run(file: Path) -> ModuleType:
    name = module_name(file)
    spec = spec_from_loader(name, SourceFileLoader(name, str(file)), origin=str(file))
    if spec is None:
        cause = f"{file} is no Python file"
        raise DeclarationError(cause, "Give a file that ends in .py.")
    module = module_from_spec(spec)
    module.__file__ = str(file)
    linecache.checkcache(str(file))
    before = sys.modules.get(name)
    sys.modules[name] = module
    folder = str(file.parent)
    sys.path.insert(0, folder)
    try:
        exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), vars(module))
    except BaseException as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        if isinstance(error, Exception):
            raise _explained(error, file) from (None if isinstance(error, DeclarationError | SyntaxError) else error)
        raise
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
    return module


def _explained(error: Exception, file: Path) -> DeclarationError:
    """Turn what a user's file raised into a refusal with its place."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    place = Place(str(file), lines[-1] or 1) if lines else Place(str(file), 1)
    if isinstance(error, DeclarationError):
        error.place = error.place or place
        return error
    if isinstance(error, SyntaxError):
        place = Place(error.filename or str(file), error.lineno or 1)
        shown = (error.text or "").strip()
        return DeclarationError(f"this is no Python: {error.msg}", f"Look at `{shown}`.", place)
    if isinstance(error, ModuleNotFoundError):
        return DeclarationError(
            f"there is no module {error.name}", f"Install it, or put {error.name}.py beside the file.", place
        )
    if isinstance(error, NameError):
        guarded = guarded_import(str(file), str(error.name))
        if guarded is not None:
            place = Place(str(file), guarded)
            return DeclarationError(
                f"{error.name} is imported under TYPE_CHECKING only, and is needed when the file runs",
                f"Import {error.name} outside of `if TYPE_CHECKING:`.",
                place,
            )
    text = str(error).strip().splitlines()
    return DeclarationError(
        f"{type(error).__name__}: {text[0] if text else 'no message'}",
        "Run the file with python to see all of it.",
        place,
    )


def _the_pipeline(module: ModuleType, file: Path) -> Pipeline:
    found: dict[int, tuple[str, Pipeline]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Pipeline):
            found.setdefault(id(value), (name, value))
    if not found:
        cause = f"{file} makes no pipeline"
        raise DeclarationError(cause, "End it with pipeline = Pipeline(...).")
    if len(found) > 1:
        cause = f"{file} makes {len(found)} pipelines: {joined(name for name, _ in found.values())}"
        raise DeclarationError(cause, "Put each into a file of its own.", list(found.values())[1][1].place)
    return next(iter(found.values()))[1]
