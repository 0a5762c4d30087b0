"""The corridor: a room imports only rooms that stand above it, nobody imports a skin, and no room hides a function."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import betahat

HOUSE = Path(betahat.__file__).parent

#: the import order of the house (docs/house.md): what stands later may import what stands earlier
ORDER = [
    "errors", "memory", "threads", "batch", "csvtext", "rowgroups", "files", "source", "columns", "expressions",
    "formula", "response", "alongside", "strips", "lowrank", "encoding", "answers", "keys", "doubled", "products",
    "sums", "levels", "design", "arrays", "keeping", "predict", "loss", "penalty", "derive", "blocks", "direct",
    "update", "epochs", "records", "trace", "covariance", "questions", "outcome", "general", "modules", "functional",
    "progress", "problem", "roads", "separation", "firth", "moments", "checkpoint", "learning", "finishing", "groups",
    "many", "validation", "working", "closing", "slopes", "conjugate", "shelf", "passes", "bending", "unmade",
    "eliminating", "journal", "theta", "grounds", "generalizing", "wide", "penalizing", "families", "restricted",
    "groupwise", "fitting", "feed", "training", "estimating", "coordinates", "revisit", "regard", "sandwich",
    "residuals", "inference", "prediction", "delta", "windows", "numerals", "finding", "diagnose", "tabular",
    "equations", "hypotheses", "squares", "deviances", "likelihood", "profile", "criteria", "multivariate", "nesting",
    "comparison", "report", "papers", "plot", "modelfile", "watching", "estimator", "lecture", "lab", "cli",
    "__main__",
]  # fmt: skip
SKINS = {  # skin → who may import it all the same
    "estimator": set(), "lecture": {"cli"}, "lab": {"cli"}, "cli": {"__main__"}, "__main__": set(),
}  # fmt: skip
#: rooms that may look up another room by its name when a method is called: the map itself, and Fit's methods
LATE = {"__init__", "questions", "many"}


def room_of(path: Path) -> str:
    """The room that a file belongs to: 'design.py' → design, 'update/exact.py' → update."""
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def targets(node: ast.AST) -> list[str]:
    """The rooms that an import statement enters; public names count as the room where they live."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("betahat.")]
    if not isinstance(node, ast.ImportFrom):
        return []
    module = (node.module or "").split(".")
    if node.level:
        return ["a relative import"]
    if module[0] != "betahat":
        return []
    names = [alias.name for alias in node.names]
    return module[1:2] or [betahat._MAP.get(name) or name for name in names if not name.startswith("__")]


def imports(tree: ast.AST) -> list[str]:
    """Every room imported below a node, inside functions too, but not under `if TYPE_CHECKING:`."""
    found = targets(tree)
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            found += [name for branch in child.orelse for name in imports(branch)]
        else:
            found += imports(child)
    if isinstance(tree, ast.Call) and ast.unparse(tree.func).split(".")[-1] in ("import_module", "__import__"):
        found.append("import_module")
    return found


def broken(room: str, source: str) -> list[str]:
    """What a file of this room may not import, one complaint for each."""
    if room == "__init__":
        return []
    if room not in ORDER:
        return [f"the room {room!r} has no place yet: add it to ORDER in tests/test_corridor.py and to docs/house.md"]
    complaints = []
    for name in imports(ast.parse(source)):
        if name == "import_module":
            if room not in LATE:
                complaints.append(f"{room} imports a room by name at run time; only {sorted(LATE)} may")
        elif name not in ORDER:
            complaints.append(
                f"{room} imports {name!r}, which is no room of the house (ORDER in tests/test_corridor.py)"
            )
        elif name != room and ORDER.index(name) > ORDER.index(room):
            complaints.append(f"{room} imports {name}, which stands below it")
        elif name != room and name in SKINS and room not in SKINS[name]:
            complaints.append(f"{room} imports {name}, a skin")
    return complaints


FILES = sorted(HOUSE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_flow_one_way(path):
    assert broken(room_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source", "complaint"),
    [
        ("loss", "from betahat.fitting import fit", "loss imports fitting, which stands below"),
        ("loss", "from betahat import fit", "loss imports fitting"),
        ("loss", "import betahat.derive", "loss imports derive"),
        ("loss", "from betahat import derive as d", "loss imports derive"),
        ("loss", "def f():\n    from betahat.update.exact import solve", "loss imports update"),
        ("batch", "class A:\n    def f(self):\n        if 1:\n            import betahat.loss", "batch imports loss"),
        ("batch", "from .errors import nearest", "'a relative import', which is no room"),
        ("cli", "from betahat.estimator import Regressor", "cli imports estimator, a skin"),
        ("lab", "from betahat import lecture", "lab imports lecture, a skin"),
        ("loss", "from betahat.utils import x", "'utils', which is no room"),
        ("loss", "from importlib import import_module\nimport_module('betahat.cli')", "by name at run time"),
        ("utils", "import os", "add it to ORDER in tests/test_corridor.py"),
        (
            "batch",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    x = 1\nelse:\n    import betahat.loss",
            "loss",
        ),
    ],
)
def test_a_wrong_import_is_found(room, source, complaint):
    complaints = broken(room, source)
    assert len(complaints) == 1
    assert complaint in complaints[0]


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("derive", "from betahat.loss import Loss"),
        ("derive", "from betahat import errors, loss"),
        ("update", "from betahat.update.exact import Exact"),
        ("cli", "from betahat import lecture"),
        ("modelfile", "from betahat import __version__"),
        ("batch", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from betahat.fitting import fit"),
        ("batch", "import typing\nif typing.TYPE_CHECKING:\n    import betahat.cli"),
    ],
)
def test_a_right_import_passes(room, source):
    assert broken(room, source) == []


def foreign(source: str) -> list[str]:
    """What a lecture file uses of betahat that is neither public, nor of errors, nor of the lecture itself."""
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.startswith("betahat.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "betahat":
            if node.module == "betahat":
                found += [a.name for a in node.names if a.name not in betahat.__all__]
            elif node.module.split(".")[1] not in ("errors", "lecture"):
                found.append(node.module)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("bh", "betahat"):
            found += [node.attr] * (node.attr not in betahat.__all__)
    return found


@pytest.mark.parametrize("path", sorted(HOUSE.glob("lecture/*.py")), ids=lambda path: path.name)
def test_the_lecture_uses_public_names_only(path):
    assert foreign(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import betahat as bh\nbh.fit; bh.errors; bh.lecture", []),
        ("from betahat import fit, errors\nfrom betahat.errors import count", []),
        ("from betahat.lecture.texts import wrap", []),
        ("import betahat as bh\nbh.fitting.learn", ["fitting"]),
        ("from betahat import fitting", ["fitting"]),
        ("from betahat.sums import Sums", ["betahat.sums"]),
        ("import betahat.design", ["betahat.design"]),
    ],
)
def test_a_private_name_is_found(source, found):
    assert foreign(source) == found


def test_every_public_name_can_be_reached_and_no_room_hides_one():
    # importing a submodule binds its name on the package: bh.fit would turn from a function into a module
    rooms = {room_of(path) for path in FILES}
    for name, room in betahat._MAP.items():
        assert getattr(betahat, name) is not None
        assert room is None or name not in rooms, f"the room {name!r} hides the public name {name!r}"
        assert (room or name) in rooms
