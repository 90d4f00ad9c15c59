from collections.abc import Callable
from pathlib import Path

import pytest

from agent.hardware.facts import Packages, Unknown
from agent.hardware.packages import folder_of, look_at_packages, version_of

Tree = Callable[[dict[str, str]], Path]


def packages(folder: Path | None, *installed: str) -> Packages:
    return look_at_packages(
        lambda name: "1.0" if name in installed else None,
        lambda module: folder if module == "llama_cpp" else None,
    )


def test_what_is_installed_is_listed_with_its_version(tree: Tree) -> None:
    root = tree({})

    found = packages(root, "onnxruntime", "llama-cpp-python", "numpy")

    assert found.versions == (("llama-cpp-python", "1.0"), ("onnxruntime", "1.0"))
    assert found.importable == {"llama_cpp"}
    assert (found.has("onnxruntime"), found.has("onnxruntime-gpu"), found.clashes) == (True, False, ())


def test_twins_that_overwrite_each_other_are_a_clash(tree: Tree) -> None:
    root = tree({})

    found = packages(root, "onnxruntime", "onnxruntime-gpu", "onnxruntime-genai-cuda")

    assert found.clashes == (("onnxruntime", "onnxruntime-gpu"),)


@pytest.mark.parametrize(
    ("library", "has_cuda"),
    [("libggml-cuda.so", True), ("ggml-cuda.dll", True), ("libggml-cpu.so", False)],
)
def test_llama_cpp_has_cuda_when_its_cuda_library_lies_beside_it(
    tree: Tree, library: str, *, has_cuda: bool
) -> None:
    root = tree({f"lib/{library}": "", "lib/libggml-base.so": ""})

    found = packages(root, "llama-cpp-python")

    assert found.has_llama_cuda is has_cuda


def test_llama_cpp_without_libraries_of_its_own_leaves_it_unknown(tree: Tree) -> None:
    root = tree({})

    found = packages(root, "llama-cpp-python"), packages(None)

    assert all(isinstance(each.has_llama_cuda, Unknown) for each in found)


def test_this_python_is_asked_without_importing_anything() -> None:
    distribution, module = "pytest", "pytest"

    found = version_of(distribution), folder_of(module)

    assert found[0] == pytest.__version__
    assert found[1] == Path(pytest.__file__).parent
    assert (version_of("no-such-package"), folder_of("no_such_package")) == (None, None)
