"""The tree keeps the promises that no linter checks."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "operator" / "taskfleet"
LARGEST_MODULE = 400  # lines; a module above this holds more than one idea


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_operator_folder_is_never_a_package_and_never_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "tests" / "operator").exists()
    found = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.add(1, 2))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == "3\n", found.stderr


def test_no_module_holds_more_than_one_idea() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: size for name, size in sizes.items() if size > LARGEST_MODULE} == {}


def test_every_module_says_its_place_in_a_docstring() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if path.read_text().strip()]
    missing = [str(path.relative_to(ROOT)) for path in modules if not ast.get_docstring(ast.parse(path.read_text()))]
    assert missing == []


def test_no_tracked_file_names_a_home_folder_or_a_package_host() -> None:
    forbidden = re.compile(r"(/(root|home)/[a-z.]|/w[o]rk/[a-z.]|files\.pythonhosted|registry\.npmjs|index-url)")
    texts = [path for path in tracked_files() if path.suffix not in {".png", ".gguf"} and path != Path(__file__)]
    found = [str(path.relative_to(ROOT)) for path in texts if forbidden.search(path.read_text(errors="replace"))]
    assert found == []


@pytest.mark.parametrize("page", ["architecture.md"])
def test_the_picture_of_the_architecture_shows_every_package_and_no_other(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    picture = re.search(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert picture is not None
    shown = set(re.findall(r"^\s*(\w+)\[", picture[1], re.MULTILINE))
    there = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert there <= shown
    arrows = re.findall(r"^\s*(\w+) --> (\w+)", picture[1], re.MULTILINE)
    assert {(a, b) for a, b in arrows if a in there and b in there} == imports_between_packages()


def imports_between_packages() -> set[tuple[str, str]]:
    """Which package imports which; the picture leaves out core and telemetry, which nearly everyone uses.

    The names that the whole package offers are no import of a package.
    """
    pairs = set()
    for path in PACKAGE.glob("*/**/*.py"):
        source = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                parts = name.split(".")
                if parts[0] == "taskfleet" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
                    pairs.add((source, parts[1]))
    return {(a, b) for a, b in pairs if a != b and b not in ("core", "telemetry")}
