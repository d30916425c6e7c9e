"""The house drawn from the imports: few rooms, doors that open one way, and no look into another's drawers."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "leed_hub"
MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Modules of ours that a module imports, wherever in it, but for the annotations' sake alone."""
    skipped = {
        id(node)
        for branch in ast.walk(MODULES[path])
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    return {
        node.module
        for node in ast.walk(MODULES[path])
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("leed_hub.") and id(node) not in skipped
    }


def test_the_top_has_at_most_twelve_rooms_and_no_circle():
    doors: dict[str, set[str]] = {}
    for path in MODULES:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            doors.setdefault(room, set()).update(name.split(".")[1] for name in imports(path))
    for room, others in doors.items():
        others.discard(room)
    assert len(doors) <= 12, sorted(doors)
    TopologicalSorter(doors).prepare()  # raises CycleError


def test_no_module_imports_or_calls_what_another_one_keeps_to_itself():
    for path, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("leed_hub"):
                private = [
                    alias.name for alias in node.names if alias.name.startswith("_") and alias.name != "__version__"
                ]
                assert not private, f"{path.name} imports {private} from {node.module}"
