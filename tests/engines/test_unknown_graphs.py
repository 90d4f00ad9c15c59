"""An ONNX graph that cannot be computed row by row still answers, through onnxruntime-genai, and says so."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from agent.engines.batch import Batch
from agent.engines.contract import Engine
from agent.wire.prompt import Message
from engines.running import Variant, demo, finish, open_variant, request

ONNX = Variant("onnx-cpu-int4", "agent.engines.onnx_cpu")
QUESTION = Message("user", "Extract JSON: 12:04:11 WARN pump-17 pressure=9.3bar")


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Return the demo model with another name for the mask, as its configuration tells."""
    folder = shutil.copytree(demo().path_for("onnx-cpu-int4"), tmp_path / "model")
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for entry in model.graph.input:
        entry.name = entry.name.replace("attention_mask", "mask")
    for node in model.graph.node:
        node.input[:] = [name.replace("attention_mask", "mask") for name in node.input]
    onnx.save(model, folder / "model.onnx")
    config = folder / "genai_config.json"
    config.write_text(
        config.read_text().replace('"attention_mask": "attention_mask"', '"attention_mask": "mask"')
    )
    return folder


@pytest.fixture
def engine(stranger: Path) -> Iterator[Engine]:
    engine = open_variant(ONNX, stranger, cache_tokens=256)
    yield engine
    engine.close()


def test_the_facts_say_why_sequences_take_turns(engine: Engine) -> None:
    facts = engine.facts

    assert "take turns" in facts.note
    assert "attention_mask" in facts.note
    assert (facts.library.split()[0], facts.cache_tokens) == ("onnxruntime-genai", 0)


def test_its_answers_are_those_of_the_known_graph(engine: Engine) -> None:
    known = open_variant(ONNX)
    expected = finish(Batch(known), [request("0", known.chat_tokens([QUESTION]))])
    known.close()

    texts = finish(Batch(engine), [request("0", engine.chat_tokens([QUESTION]))])

    assert texts == expected


def test_a_known_graph_needs_no_note() -> None:
    engine = open_variant(ONNX)

    facts = engine.facts

    engine.close()
    assert facts.note == ""
