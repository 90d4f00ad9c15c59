"""The house rules: who may import whom, who owns which foreign library, and how large things may grow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]
ROOT = HOUSE / "agent"
FILES = sorted(ROOT.rglob("*.py"))
ROOMS = ("wire", "mqtt", "flow", "worker", "engines", "hardware", "models", "telemetry", "host", "identity")
SOURCES = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in FILES}
FLEET_FILES = sorted((HOUSE / "provisioning").rglob("*.py"))
FLEET_SOURCES = {str(file.relative_to(HOUSE)): file.read_text(encoding="utf-8") for file in FLEET_FILES}
EVERY_SOURCE = SOURCES | FLEET_SOURCES

MAY_IMPORT: dict[str, set[str]] = {
    "wire": set(),
    "mqtt": {"settings", "wire"},
    "engines": {"wire"},
    "host": {"settings", "wire"},
    "identity": {"host", "mqtt", "settings", "settings_file", "wire"},
    "models": {"engines", "hardware", "settings", "settings_file", "wire"},
    "hardware": {"engines", "models", "settings"},
    "worker": {"engines", "hardware", "host", "settings", "wire"},
    "flow": {"engines", "host", "wire", "worker"},
    "telemetry": {"flow", "hardware", "host", "identity", "outfit", "settings", "wire", "worker"},
}
"""Beside itself; `agent` with its version is free for everybody. Only files at the top know every room."""

MAY_NOT_GO_ROUND = set(ROOMS) - {"models", "hardware"}
"""Rooms that must not be reachable from themselves by way of another room.

Hardware judges models by their manifests, and the model commands ask it for its judgement.
"""

FLEET_MAY_IMPORT = {"client", "host", "identity", "mqtt", "models", "settings", "wire"}
"""Of the agent. The agent imports nothing of the fleet tools: a box works without them."""

OWNERS = {
    "paho": ("mqtt/",),
    "llama_cpp": ("engines/llama_",),
    "onnxruntime": ("engines/onnx_cpu.py",),
    "onnxruntime_genai": ("engines/onnx_text.py", "engines/onnx_genai.py"),
    "llguidance": ("engines/guidance.py", "wire/grammar.py"),
    "numpy": ("engines/",),
    "jinja2": ("engines/chat_template.py",),
    "huggingface_hub": ("models/download.py",),
    "pynvml": ("hardware/",),
    "cpuinfo": ("hardware/",),
    "psutil": ("hardware/", "telemetry/"),
    "sqlite3": ("flow/", "host/sqlite_faults.py", "provisioning/registry.py"),
    "cryptography": ("identity/", "provisioning/authority/", "provisioning/enrolment/"),
    "yaml": ("provisioning/inventory_file.py",),
    "typer": (
        "provisioning/cli.py",
        "provisioning/commands/",
        "cli.py",
        "demo.py",
        "detect.py",
        "models/commands.py",
        "identity/commands.py",
    ),
    "rich": (
        "provisioning/pages.py",
        "calibration_report.py",
        "cli.py",
        "demo.py",
        "detect.py",
        "models/commands.py",
    ),
}

NATIVE = (
    "numpy",
    "llama_cpp",
    "onnxruntime",
    "onnxruntime_genai",
    "llguidance",
    "huggingface_hub",
    "jinja2",
    "pynvml",
)
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 300, 60


def _imports(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "agent":
                yield from (f"agent.{alias.name}" for alias in node.names)


def _neighbours(room: str) -> set[str]:
    """Return what the files of a room import from the rest of the agent."""
    sources = (source for path, source in SOURCES.items() if path.startswith(f"{room}/"))
    modules = {module for source in sources for module in _imports(source) if module.startswith("agent.")}
    return {module.split(".")[1] for module in modules} - {room, "__version__"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    neighbours = _neighbours(room)

    assert neighbours <= MAY_IMPORT[room]


@pytest.mark.parametrize("room", sorted(MAY_NOT_GO_ROUND))
def test_nothing_imports_its_way_back_to_a_lower_room(room: str) -> None:
    reached: set[str] = set()
    frontier = MAY_IMPORT[room] - {"settings"}

    while frontier:
        reached |= frontier
        frontier = set().union(*(MAY_IMPORT.get(other, set()) for other in frontier)) - reached - {"settings"}

    assert room not in reached


@pytest.mark.parametrize("library", OWNERS)
def test_a_foreign_library_is_imported_only_by_its_owners(library: str) -> None:
    users = [
        path
        for path, source in EVERY_SOURCE.items()
        if any(m.split(".")[0] == library for m in _imports(source))
    ]

    strangers = [path for path in users if not path.startswith(OWNERS[library])]

    assert strangers == []


def test_the_agent_process_loads_no_inference_library_and_no_numpy() -> None:
    program = f"import sys, agent.app; print(*[name for name in {NATIVE!r} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)

    assert done.stdout.split() == []


def test_the_fleet_tools_import_only_the_contract_and_the_way_to_the_broker() -> None:
    modules = {module for source in FLEET_SOURCES.values() for module in _imports(source)}

    used = {module.split(".")[1] for module in modules if module.startswith("agent.")}

    assert used - {"__version__"} <= FLEET_MAY_IMPORT


def test_the_agent_does_not_know_the_fleet_tools() -> None:
    modules = {module.split(".")[0] for source in SOURCES.values() for module in _imports(source)}

    assert "provisioning" not in modules


@pytest.mark.parametrize("path", EVERY_SOURCE)
def test_no_module_grows_beyond_its_budget(path: str) -> None:
    lines = EVERY_SOURCE[path].count("\n")

    assert lines <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", EVERY_SOURCE)
def test_no_function_grows_beyond_its_budget(path: str) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(EVERY_SOURCE[path]))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES]

    assert long == []


def test_every_file_name_says_what_it_holds() -> None:
    names = {file.stem for file in (*FILES, *FLEET_FILES)}

    assert names & FORBIDDEN_NAMES == set()


@pytest.mark.parametrize("path", [path for path in EVERY_SOURCE if EVERY_SOURCE[path].strip()])
def test_every_module_opens_with_what_it_owns(path: str) -> None:
    docstring = ast.get_docstring(ast.parse(EVERY_SOURCE[path]))

    assert docstring
