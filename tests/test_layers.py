"""The layers of the package: imports go down, and each outside library has one owner."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "cgankd"
LEVELS = [
    {"errors", "images", "losses", "runs", "randomness", "signals", "hdf5", "layouts", "__init__"},
    {"preset", "task", "console", "checkpoint"},
    {"models", "fakes", "sources"},
    {"designs", "networks", "published", "data", "vicinity", "methods", "ratio", "engine", "metrics", "collapse"}
    | {"plan"},
    {"sampling", "students", "estimate", "conditions", "features", "scores", "windows"}
    | {"pages", "document", "figures", "results", "tables"},
    {"stages"},
    {"pipeline", "launch"},
    {"cli", "__main__"},
]
OWNERS = {
    "typer": {"cli"},
    "tomli": {"preset"},
    "tomli_w": {"preset"},
    "pydantic": {"preset"},
    "h5py": {"hdf5"},
    "rich": {"console"},
    "filelock": {"runs"},
    "accelerate": {"engine"},
    "safetensors": {"networks", "checkpoint"},
    "matplotlib": {"figures"},
    "jinja2": {"document"},
    "PIL": {"images", "sources"},
    "torchvision": {"images", "models", "sources"},
    "sklearn": {"sources"},
    "scipy": {"sources"},
}
WITHOUT_TORCH = ["cli", "pipeline", "plan", "preset", "runs", "fakes", "pages", "sources", "sources.inspection"]
FILES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    """The module or subpackage that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def level_of(name: str) -> int:
    (level,) = [level for level, names in enumerate(LEVELS) if name in names]
    return level


def imports(path: Path) -> list[str]:
    """Every module that a file imports, anywhere in it, with its dots."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            found += [f"{module}.{alias.name}" for alias in node.names] if module == "cgankd" else [module]
    return found


def test_every_module_has_a_level():
    assert {name_of(path) for path in FILES} == set().union(*LEVELS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_its_own_level_or_below(path):
    for module in imports(path):
        package, *inner = module.split(".")
        if package == "cgankd" and inner != ["__version__"]:
            assert level_of(inner[0]) <= level_of(name_of(path)), f"{name_of(path)} imports {module}"


def test_each_outside_library_has_one_owner():
    users: dict[str, set[str]] = {library: set() for library in OWNERS}
    for path in FILES:
        for module in imports(path):
            if module.split(".")[0] in users:
                users[module.split(".")[0]].add(name_of(path))
    assert users == OWNERS


def test_only_the_engine_takes_steps():
    for words in (".backward(", "optimizer.step", "optimizer.zero_grad"):
        users = {name_of(path) for path in FILES if words in path.read_text()}
        assert users == {"engine"}, words


def test_only_the_source_of_its_files_imports_torchvision():
    users = {path.name for path in (ROOT / "sources").glob("*.py")
             if any(module.split(".")[0] in ("torch", "torchvision") for module in imports(path))}  # fmt: skip
    assert users == {"cifar10.py"}


def test_only_published_weights_are_read_from_pickles_and_without_code():
    users = {name_of(path): path.read_text() for path in FILES if "torch.load(" in path.read_text()}
    assert users.keys() == {"published"}
    assert users["published"].count("torch.load(io.") == users["published"].count(", weights_only=True)") == 1


def test_no_method_knows_of_fakes():
    for path in (ROOT / "methods").glob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not any("fake" in name for name in names), path


def test_only_the_task_and_the_preset_tell_classes_from_continuous_labels():
    users = {
        name_of(path) for path in FILES if "Classification(" in path.read_text() or "Regression(" in path.read_text()
    }
    assert users == {"task"}


def test_what_decides_whether_there_is_work_does_not_import_torch():
    names = ", ".join(f"cgankd.{name}" for name in WITHOUT_TORCH)
    program = f"import sys, {names}; print(*sorted({{'torch', 'torchvision', 'accelerate'}} & set(sys.modules)))"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.split() == []
