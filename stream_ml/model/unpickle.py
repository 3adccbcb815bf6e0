"""A river model as bytes for the local snapshot, read back through a list of what may be named in them.

Bytes are only ever written to, and read from, the snapshot of this engine; nothing that crosses a log is pickled.
Still, whoever can write the snapshot's file must not be able to run code: a name that is not a class of river's models,
a plain container, a numpy array's parts or something that the user's own estimator holds is refused.
"""

from __future__ import annotations

import importlib
import io
import pickle  # noqa: TID251
import types
from collections.abc import Iterable
from typing import Any, Final

from stream_ml.errors import CorruptError
from stream_ml.model.graph import objects

CURE: Final = "Restore an older snapshot, or reset the model"
#: river packages whose classes are models or parts of models: they hold numbers, open nothing and import nothing.
PACKAGES: Final = frozenset(
    "active anomaly bandit base cluster compose conf covariance drift dummy ensemble facto feature_extraction "
    "feature_selection forest imblearn linear_model metrics misc model_selection multiclass multioutput "
    "naive_bayes neighbors optim preprocessing proba rules sketch stats time_series tree utils _river_rust".split()
)
NAMES: Final[dict[str, frozenset[str]]] = {
    "builtins": frozenset(
        "set frozenset dict list tuple int float complex bool str bytes bytearray slice range object iter abs max "
        "min".split()
    ),
    "collections": frozenset("defaultdict OrderedDict Counter deque ChainMap".split()),
    "copy": frozenset(["deepcopy"]),
    "copyreg": frozenset(["_reconstructor"]),
    "datetime": frozenset("datetime date time timedelta timezone".split()),
    "functools": frozenset(["partial"]),
    "itertools": frozenset("count cycle repeat chain".split()),
    "math": frozenset("exp log log1p log2 log10 sqrt pow sin cos tan tanh fabs floor ceil inf".split()),
    "numbers": frozenset("Number Complex Real Rational Integral".split()),
    "operator": frozenset(["itemgetter"]),
    "random": frozenset(["Random"]),
    "statistics": frozenset(["NormalDist"]),
    "numpy": frozenset(
        "dtype ndarray array ones zeros float64 float32 int64 int32 int16 int8 uint8 uint16 uint32 uint64 bool bool_ "
        "str_".split()
    ),
    "numpy._core.multiarray": frozenset("_reconstruct scalar".split()),
    "numpy._core.numeric": frozenset(["_frombuffer"]),
    "numpy.random": frozenset("RandomState Generator".split()),
    "numpy.random.bit_generator": frozenset("SeedSequence __pyx_unpickle_SeedSequence".split()),
    "numpy.random._pickle": frozenset("__randomstate_ctor __generator_ctor __bit_generator_ctor".split()),
    "numpy.random._mt19937": frozenset(["MT19937"]),
    "numpy.random._pcg64": frozenset(["PCG64"]),
    "stream_ml.model.fallback": frozenset(["OrderedSelect"]),
    "river._river_rust.vectordict": frozenset(
        "euclidean_distance_dict euclidean_distance_tuple lazy_search_euclidean".split()
    ),
    "river.feature_extraction.vectorize": frozenset("strip_accents_unicode tokenize_using_regex_pattern".split()),
    "river.utils.math": frozenset("minkowski_distance".split()),
}


Named = types.FunctionType | type


def _is_model_module(module: str) -> bool:
    root, package, *_ = [*module.split("."), ""]
    return root == "river" and package in PACKAGES


def _is_model_class(found: Any) -> bool:
    return isinstance(found, type) and _is_model_module(found.__module__)


def _is_model(item: Any) -> bool:
    return not isinstance(item, Named) and _is_model_class(type(item))


def _river(module: str, name: str) -> Any:
    """Return a class of a model package, or a class or function inside such a class; None for anything else."""
    if not _is_model_module(module):
        return None
    outer, *inner = name.split(".")
    found = getattr(importlib.import_module(module), outer, None)
    for attribute in inner:
        if not _is_model_class(found) or attribute.startswith("__"):
            return None
        found = getattr(found, attribute, None)
        if isinstance(found, types.FunctionType) and found.__module__ == module:
            return found
    return found if _is_model_class(found) else None


def _method(owner: Any, name: str) -> Any:
    """Return a method of a river object or random generator, or `str.lower`: how pickle writes a bound method."""
    plain = owner is str and name == "lower"
    if not (plain or _is_model_class(type(owner)) or type(owner).__module__ == "random") or name.startswith("__"):
        cause = f"the stored model asks for {type(owner).__name__}.{name}, which no river model needs"
        raise CorruptError(cause, CURE)
    return getattr(owner, name)


class Reader(pickle.Unpickler):
    """pickle's reader with a list: classes of river's model packages, `NAMES`, and the user's own functions.

    Parameters
    ----------
    data
        The bytes.
    own
        Functions and classes that the user's estimator holds; a pickle may name them and no others.
    """

    def __init__(self, data: bytes, own: Iterable[Named]) -> None:
        super().__init__(io.BytesIO(data))
        self._own = {(item.__module__, item.__qualname__): item for item in own}

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names, or refuse it."""
        if (module, name) in self._own:
            return self._own[module, name]
        if (module, name) == ("builtins", "getattr"):
            return _method
        if name in NAMES.get(module, ()):
            return getattr(importlib.import_module(module), name)
        found = _river(module, name)
        if found is not None:
            return found
        cause = f"the stored model names {module}.{name}, which no river model needs"
        raise CorruptError(cause, CURE)


def own_names(estimator: Any) -> list[Named]:
    """Return the functions and classes that the user put into an estimator, which its pickle will name."""
    return [item if isinstance(item, Named) else type(item) for item in objects(estimator) if not _is_model(item)]


def dumps(estimator: Any) -> bytes:
    """Return an estimator as bytes for the local snapshot."""
    return pickle.dumps(estimator, protocol=5)


def loads(data: bytes, own: Iterable[Named] = ()) -> Any:
    """Return the estimator that `dumps` wrote.

    Parameters
    ----------
    data
        The bytes.
    own
        The user's functions and classes that may be named: `own_names` of the estimator.

    Raises
    ------
    CorruptError
        The bytes name something that no river model needs, or are damaged.
    """
    try:
        return Reader(data, own).load()
    except CorruptError:
        raise
    except Exception as error:
        cause = f"the stored model cannot be read: {type(error).__name__}: {error}"
        raise CorruptError(cause, CURE) from error
