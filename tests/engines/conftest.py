"""Loaded engines, each opened once for all tests of this room."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.engines.contract import Engine
from engines.running import SLOTS, Golden, Variant, open_variant, read_golden

NVIDIA = Path("/dev/nvidiactl")

ECHO = pytest.param(Variant("echo", "agent.engines.echo"), id="echo")
REAL = (
    pytest.param(Variant("gguf-cpu", "agent.engines.llama_cpp"), id="gguf-cpu"),
    pytest.param(Variant("onnx-cpu-int4", "agent.engines.onnx_cpu"), id="onnx-cpu-int4"),
    pytest.param(Variant("onnx-cpu-int4", "agent.engines.onnx_genai"), id="onnx-genai-on-cpu"),
    pytest.param(Variant("gguf-cuda", "agent.engines.llama_cpp"), id="gguf-cuda", marks=pytest.mark.gpu),
    pytest.param(
        Variant("onnx-cuda-int4", "agent.engines.onnx_genai"), id="onnx-cuda-int4", marks=pytest.mark.gpu
    ),
    pytest.param(
        Variant("onnx-cuda-fp16", "agent.engines.onnx_genai"), id="onnx-cuda-fp16", marks=pytest.mark.gpu
    ),
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs an NVIDIA GPU where there is none."""
    if NVIDIA.exists():
        return
    left_out = [item for item in items if item.get_closest_marker("gpu")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def opened() -> Iterator[Callable[[Variant], Engine]]:
    """Return a function that opens a variant, or hands out the one that is open already."""
    engines: dict[Variant, Engine] = {}

    def open_once(variant: Variant) -> Engine:
        if variant not in engines:
            engines[variant] = open_variant(variant)
        return engines[variant]

    with contextlib.ExitStack() as closing:
        yield open_once
        for engine in engines.values():
            closing.callback(engine.close)


@pytest.fixture(params=[ECHO, *REAL])
def any_variant(request: pytest.FixtureRequest) -> Variant:
    variant: Variant = request.param
    return variant


@pytest.fixture(params=REAL)
def variant(request: pytest.FixtureRequest) -> Variant:
    variant: Variant = request.param
    return variant


@pytest.fixture
def any_engine(any_variant: Variant, opened: Callable[[Variant], Engine]) -> Iterator[Engine]:
    """Return an engine of any kind, with empty slots."""
    yield from _with_empty_slots(opened(any_variant))


@pytest.fixture
def engine(variant: Variant, opened: Callable[[Variant], Engine]) -> Iterator[Engine]:
    """Return an engine with a model, with empty slots."""
    yield from _with_empty_slots(opened(variant))


def _with_empty_slots(engine: Engine) -> Iterator[Engine]:
    yield engine
    for slot in range(SLOTS):
        engine.truncate(slot, 0)


@pytest.fixture(scope="session")
def golden() -> tuple[Golden, ...]:
    return read_golden()
