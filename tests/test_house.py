"""The rules of the house that no linter knows: length, docs that name every module, kernels that round alike."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "stream_ml"
KERNELS = PACKAGE / "kernels"
LONGEST = 400

#: Kernel files that find a folder, reserve memory or declare kernels; everything else sees numpy and numba only.
OUTWARD = {"cache.py", "jit.py", "memory.py"}
SEEN = {"__future__", "collections.abc", "enum", "math", "numba", "numpy", "numpy.typing", "typing", "stream_ml"}
#: What `math` and numpy may be asked for: exactly rounded, or a constant, or no arithmetic at all.
EXACT_MATH = {
    "ceil", "copysign", "fabs", "floor", "frexp", "inf", "isfinite", "isinf", "isnan", "ldexp", "nan", "pi", "sqrt",
    "trunc",
}  # fmt: skip
EXACT_NUMPY = {
    "bool_", "ceil", "copysign", "empty", "empty_like", "fabs", "float64", "floor", "full", "inf", "int8", "int32",
    "int64", "isfinite", "isinf", "isnan", "nan", "ndarray", "ones", "pi", "sqrt", "trunc", "uint8", "uint32", "uint64",
    "zeros", "zeros_like",
}  # fmt: skip
FOLDS = {"sum", "mean", "std", "var", "prod", "dot", "cumsum", "cumprod"}
MACHINE = re.compile("|".join(f"/{name}/" for name in ("work", "farm", "root", "home", "Users")))
TEXTS = {".py", ".md", ".toml", ".yml", ".yaml", ".json", ".lock", ".sh", ".txt", ".cfg", ""}
#: Folders that are not the project's: caches, environments, outputs. Those that begin with a dot are, but for one.
LEFT_OUT = {"out", "build", "dist", "__kernels__", "__pycache__"}
KEPT = {".ci"}


def ours(root: Path) -> Iterator[Path]:
    """Yield every file under `root` that belongs to the project."""
    for path in sorted(root.iterdir()):
        hidden = path.name in LEFT_OUT or path.name.startswith(".") or path.suffix == ".egg-info"
        if path.is_dir() and (path.name in KEPT or not hidden):
            yield from ours(path)
        elif path.is_file() and path.name != ".git":  # of a worktree
            yield path


def sources(*folders: str) -> list[Path]:
    """List the Python files under `folders`."""
    there = [ROOT / folder for folder in folders if (ROOT / folder).is_dir()]
    return [path for folder in there for path in ours(folder) if path.suffix == ".py"]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def kernel_files() -> list[Path]:
    return [path for path in sorted(KERNELS.glob("*.py")) if path.name not in OUTWARD and path.name != "__init__.py"]


@pytest.mark.parametrize("path", sources("stream_ml", "tests", "benchmarks"), ids=named)
def test_file_is_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{lines} lines: the second idea in it wants its own name"


def test_each_module_stands_in_the_architecture_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = [path.relative_to(PACKAGE).as_posix() for path in sources("stream_ml") if path.name != "__init__.py"]
    assert len(modules) > 1
    assert [name for name in modules if f"`{name}`" not in page] == []


def test_the_architecture_page_names_no_module_that_is_gone() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named_there = [name for name in re.findall(r"`([\w/]+\.py)`", page) if not name.startswith("tests/")]
    assert [name for name in named_there if not (PACKAGE / name).is_file()] == []


def test_no_path_of_a_machine() -> None:
    found = [
        f"{named(path)}:{number}"
        for path in ours(ROOT)
        if path.suffix in TEXTS and path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert found == []


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ".", node.lineno


def allowed(module: str) -> bool:
    return module in SEEN or module == "stream_ml.errors" or module.startswith("stream_ml.kernels.")


@pytest.mark.parametrize("path", kernel_files(), ids=named)
def test_kernels_see_numpy_and_numba_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [f"line {line}: {module}" for module, line in imported(tree) if not allowed(module)] == []


def is_kernel(node: ast.FunctionDef) -> bool:
    """Tell whether `kernel` decorates the function, bare or with a signature."""
    bare = [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in node.decorator_list]
    return any(isinstance(name, ast.Name) and name.id == "kernel" for name in bare)


def fault(node: ast.AST, own: set[str]) -> str | None:
    """Say what is wrong with one node of a kernel, None if nothing; `own` names are kernels, not builtins."""
    why: str | None = None
    match node:
        case ast.BinOp(op=ast.Pow()) | ast.AugAssign(op=ast.Pow()):
            why = "** rounds differently when compiled: write x * x, sqrt or kernels.math.pow"
        case ast.BinOp(op=ast.MatMult()):
            why = "@ goes to BLAS, whose order of sums depends on the CPU"
        case ast.Attribute(value=ast.Name(id="math"), attr=name) if name not in EXACT_MATH:
            why = f"math.{name} differs from CPU to CPU: use stream_ml.kernels.math"
        case ast.Attribute(value=ast.Name(id="np"), attr=name) if name not in EXACT_NUMPY:
            why = f"np.{name} differs from CPU to CPU, or is no plain loop"
        case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in FOLDS and not is_module(value):
            why = f".{name}() sums in another order than a loop"
        case ast.Call(func=ast.Name(id="round"), args=[_, _, *_]):
            why = "round(x, n) rounds differently when compiled"
        case ast.Call(func=ast.Name(id="sum")) if "sum" not in own:
            why = "sum() is not a plain loop"
        case ast.Call(func=ast.Name(id="pow")) if "pow" not in own:
            why = "pow() rounds differently when compiled: use kernels.math.pow"
    return why


def is_module(value: ast.expr) -> bool:
    """Tell whether `value` is numpy, whose names are judged one by one, or our own arithmetic."""
    return isinstance(value, ast.Name) and (value.id == "np" or value.id.endswith("math"))


def kernels_in(tree: ast.Module) -> set[str]:
    """Return the names of a file that stand for kernels: its own, and those imported from kernel files."""
    made = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and is_kernel(node)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stream_ml.kernels."):
            made |= {alias.asname or alias.name for alias in node.names}
    return made


def faults(source: str) -> list[str]:
    """List what may not stand in a kernel: `line: why`, and forbidden switches anywhere in the file."""
    tree = ast.parse(source)
    own, found = kernels_in(tree), []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in {"fastmath", "parallel"}:
            found.append(f"{node.value.lineno}: {node.arg} changes the order or the bits of sums")
        if isinstance(node, ast.FunctionDef) and is_kernel(node):
            found += [
                f"{getattr(inner, 'lineno', 0)}: {why}"
                for statement in node.body
                for inner in ast.walk(statement)
                if (why := fault(inner, own))
            ]
    return found


@pytest.mark.parametrize("path", sources("stream_ml/kernels"), ids=named)
def test_kernels_round_alike_compiled_and_not(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("return x ** 2.0", "**"),
        ("x **= 2.0", "**"),
        ("return math.exp(x)", "math.exp"),
        ("return np.log(x)", "np.log"),
        ("return np.power(x, 2.0)", "np.power"),
        ("return x.sum()", ".sum()"),
        ("return np.sum(x)", "np.sum"),
        ("return sum(x)", "sum()"),
        ("return round(x, 2)", "round"),
        ("return pow(x, 2)", "pow"),
        ("return x @ x", "@"),
    ],
)
def test_what_may_not_stand_in_a_kernel_is_found(body: str, word: str) -> None:
    (found, *_) = faults(f"@kernel\ndef f(x):\n    {body}\n")
    assert word in found
    assert faults(f"def f(x):\n    {body}\n") == []


def test_what_may_stand_in_a_kernel_is_left_alone() -> None:
    source = '@kernel(signature="f8(f8)")\ndef f(x):\n    """Return x**2."""\n    return math.sqrt(x * x)\n'
    assert faults(source) == []
    ours_too = "from stream_ml.kernels.math import pow\n@kernel\ndef f(x):\n    return pow(x, 2.0)\n"
    assert faults(ours_too) == []


@pytest.mark.parametrize("switch", ["fastmath", "parallel"])
def test_switches_of_the_compiler_are_found(switch: str) -> None:
    (found,) = faults(f"made = numba.njit({switch}=True)\n")
    assert switch in found
