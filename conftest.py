"""Runs the code blocks of README and docs: Python blocks in order, and console blocks against their real output.

    pytest README.md README.ko.md docs

In a console block a line `$ command` is run in the repository's root and what follows must be what it prints; a line
that is `…` stands for any lines, and numbers need to agree to six digits only.
"""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.example import Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "examples"))


NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?")


def same_output(expected: str, found: str) -> bool:
    """Whether two outputs are the same text, `…` lines aside, with numbers equal to six digits (processors differ)."""
    lines = [".*" if line.strip() == "…" else re.escape(NUMBER.sub("#", line)) for line in expected.split("\n")]
    if not re.fullmatch("\n".join(lines), NUMBER.sub("#", found), flags=re.DOTALL):
        return False
    if "…" in expected:
        return True
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(found), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=1e-6) for a, b in pairs)


def run_console(example: Example) -> str | None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for piece in re.split(r"^\$ ", str(example.parsed), flags=re.MULTILINE)[1:]:
        command, _, expected = piece.partition("\n")
        found = ""
        for _ in range(3 if "torchrun" in command else 1):  # gloo's threads may abort a process that has done its work
            done = subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True)
            found = (done.stdout + done.stderr).rstrip()
            if "terminate called without an active exception" not in found:
                break
        if not same_output(expected.rstrip(), found):
            return f"$ {command}\nprints\n{found}\nand not\n{expected.rstrip()}"
    return None


@pytest.fixture(scope="session")
def flights() -> None:
    import flights as module

    module.write()


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser(language="console", evaluator=run_console)],
    patterns=["*.md"],
    excludes=["CHANGELOG.md", "CONTRIBUTING.md", "tests/**"],
    fixtures=["flights", "in_root"],
).pytest()
