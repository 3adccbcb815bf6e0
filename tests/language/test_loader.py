"""What the loader says of files that do not load, and what it leaves behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stream_ml.errors import DeclarationError
from stream_ml.language.loader import load, module_name

FILE = """\
from __future__ import annotations
from datetime import datetime
from stream_ml import Event, Features, Pipeline, fn

class Order(Event, topic="orders", key=None, time="at", lateness="0s"):
    at: datetime
    n: int

class OrderFeatures(Features, of=Order):
    n = fn.log1p(Order.n)

pipeline = Pipeline("orders", features=OrderFeatures, model=None)
"""


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text(FILE)
    with pytest.raises(DeclarationError, match=r"order\.py is no file\. In .* there are orders\.py\."):
        load(tmp_path / "order.py")


def test_stable_name_and_reload(tmp_path: Path) -> None:
    path = tmp_path / "my orders.py"
    path.write_text(FILE)
    first = load(path)
    assert first.event.__module__ == module_name(path) == "stream_ml_user_my_orders"
    assert sys.modules["stream_ml_user_my_orders"].__dict__["Order"] is first.event
    path.write_text(FILE.replace('"orders", features', '"other", features'))
    assert load(path).name == "other"
    assert not list(tmp_path.glob("__pycache__"))


def test_module_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_orders.py").write_text("NAME = 'beside'\n")
    (tmp_path / "orders.py").write_text(FILE.replace('"orders", features', "NAME, features") .replace(
        "from stream_ml", "from beside_orders import NAME\nfrom stream_ml"))  # fmt: skip
    assert load(tmp_path / "orders.py").name == "beside"


def test_failed_load_leaves_no_module(tmp_path: Path) -> None:
    path = tmp_path / "broken_orders.py"
    path.write_text(FILE + "1 / 0\n")
    with pytest.raises(DeclarationError, match=r"broken_orders\.py:13: ZeroDivisionError: division by zero"):
        load(path)
    assert module_name(path) not in sys.modules


def test_import_under_type_checking_is_named(tmp_path: Path) -> None:
    path = tmp_path / "orders.py"
    path.write_text(FILE.replace(
        "from datetime import datetime\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from datetime import datetime\n"))  # fmt: skip
    with pytest.raises(DeclarationError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}:4: Order needs datetime to read its records, but it is imported under TYPE_CHECKING only. "
        "Import datetime outside of `if TYPE_CHECKING:`."
    )


def test_type_defined_later_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "orders.py"
    path.write_text(FILE.replace("    n: int\n", "    n: int\n    state: State\n") + (
        "\nfrom enum import Enum\nclass State(Enum):\n    NEW = 'new'\n"))  # fmt: skip
    assert load(path).event.__pydantic_complete__
    path.write_text(FILE.replace("    n: int\n", "    n: int\n    state: State\n"))
    with pytest.raises(DeclarationError, match="a field of the type State, which is not known here"):
        load(path)


def test_error_in_an_imported_module_is_placed_in_the_users_file(tmp_path: Path) -> None:
    (tmp_path / "beside_broken.py").write_text("raise ValueError('no')\n")
    path = tmp_path / "orders.py"
    path.write_text(FILE + "import beside_broken\n")
    with pytest.raises(DeclarationError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:13: ValueError: no.")
