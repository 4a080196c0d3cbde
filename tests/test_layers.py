"""The structure of the package: imports go down and in no circle, and each outside library has one
owner.
"""

import ast
import graphlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "cgankd"
ROOMS = [  # from the ground up: whoever imports stands above whom it imports
    ["errors", "statistics", "randomness", "losses", "label", "version", "timing", "cpu"],
    ["signals", "console", "precision"],
    ["runs"],
    ["task"],
    ["preset"],
    ["sources"],
    ["job"],
    ["data"],
    ["models"],
    ["training"],
    ["methods"],
    ["fakes"],
    ["plan"],
    ["report"],
    ["deploy"],
    ["stages"],
    ["launch"],
    ["pipeline"],
    ["api", "bench"],
    ["__init__"],
    ["cli"],
    ["__main__"],
]
OWNERS = {
    "typer": {"cli"},
    "tomli": {"preset"},
    "tomli_w": {"preset"},
    "pydantic": {"preset"},
    "h5py": {"runs"},
    "rich": {"console"},
    "filelock": {"runs"},
    "accelerate": {"training"},
    "safetensors": {"models", "training", "deploy"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "PIL": {"bench", "data", "sources"},
    "torchvision": {"bench", "data", "models", "sources"},
    "timm": {"models"},
    "trackio": {"training"},
    "sklearn": {"sources"},
    "scipy": {"sources"},
    "onnx": set(),  # by name alone: it is an extra
    "onnxruntime": set(),
}
WITHOUT_TORCH = [
    *("label", "precision", "job", "plan", "preset", "runs", "fakes", "report", "sources"),
    *("launch", "pipeline", "cli.commands"),
]
FILES = sorted(ROOT.rglob("*.py"))


def module_of(path: Path) -> str:
    """The dotted name below cgankd; a package is named by its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_of(path): path for path in FILES}


def room_of(module: str) -> str:
    """The module or subpackage right below cgankd that a module belongs to."""
    return module.partition(".")[0]


def floor_of(module: str) -> int:
    (floor,) = [floor for floor, rooms in enumerate(ROOMS) if room_of(module) in rooms]
    return floor


def imports(path: Path) -> list[str]:
    """Every module that a file imports, anywhere in it, with its dots."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if own(name) else str(node.module) for name in inside]
    return found


def own(name: str) -> str:
    """The module of this package that a dotted name is, with `cgankd` itself as __init__; else
    nothing.
    """
    package, _, module = name.partition(".")
    return (
        (module or "__init__") if package == "cgankd" and (module or "__init__") in MODULES else ""
    )


@cache
def graph() -> dict[str, set[str]]:
    """Every module with the modules of this package that it imports."""
    return {
        name: {own(module) for module in imports(path)} - {""} for name, path in MODULES.items()
    }


def test_every_room_has_a_floor():
    assert {room_of(module) for module in MODULES} == {room for rooms in ROOMS for room in rooms}


def test_no_modules_import_each_other_in_a_circle():
    tuple(graphlib.TopologicalSorter(graph()).static_order())  # CycleError names the circle


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_room_or_from_floors_below(module):
    for other in graph()[module]:
        if room_of(other) != room_of(module):
            assert floor_of(other) < floor_of(module), f"{module} imports {other}"


def test_each_outside_library_has_one_owner():
    users: dict[str, set[str]] = {library: set() for library in OWNERS}
    for path in FILES:
        for module in imports(path):
            if module.split(".")[0] in users:
                users[module.split(".")[0]].add(room_of(module_of(path)))
    assert users == OWNERS


def test_only_updates_take_steps():
    for words in (".backward(", "optimizer.step", "optimizer.zero_grad"):
        users = {module_of(path) for path in FILES if words in path.read_text()}
        usual = {"bench.plain"}  # the loop that benches compare with
        assert users - usual == {"training.updates"}, words


def test_only_the_source_of_its_files_imports_torchvision():
    users = {
        path.name
        for path in (ROOT / "sources").glob("*.py")
        if any(module.split(".")[0] in ("torch", "torchvision") for module in imports(path))
    }
    assert users == {"cifar10.py", "fashion_mnist.py"}


def test_only_published_weights_are_read_from_pickles_and_without_code():
    texts = {module_of(path): path.read_text() for path in FILES}
    (reader,) = [name for name, text in texts.items() if "torch.load(" in text]
    assert reader == "models.published"
    assert texts[reader].count("torch.load(io.") == texts[reader].count(", weights_only=True)") == 1


def test_no_method_knows_of_fakes():
    for path in (ROOT / "methods").glob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not any("fake" in name for name in names), path


def test_only_the_task_tells_classes_from_continuous_labels():
    """Sources say what their labels are; who reads one asks for what it can do, not its kind."""
    for path in FILES:
        if room_of(module_of(path)) in ("task", "label", "sources"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Compare(left=left, comparators=rights):
                    sides = [ast.unparse(side) for side in (left, *rights)]
                    asked = any("kind" in side for side in sides)
                    assert not asked or not any("'c" in side for side in sides), ast.unparse(node)
                case ast.Call(func=ast.Name(id="isinstance")):
                    words = ("Classification", "Regression", "ClassLabel", "ContinuousLabel")
                    assert not any(word in ast.unparse(node) for word in words), ast.unparse(node)


def test_what_decides_whether_there_is_work_does_not_import_torch():
    names = ", ".join(f"cgankd.{name}" for name in WITHOUT_TORCH)
    program = (
        f"import sys, {names}; print(*sorted({{'torch', 'torchvision', 'accelerate'}} & "
        "set(sys.modules)))"
    )
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert child.stdout.split() == []


def test_only_the_console_asks_which_process_this_is():
    users = {module_of(path) for path in FILES if '"RANK"' in path.read_text()}
    assert users == {"console"}
