"""Extraction of records under a JSON schema, for the demo model and for random weights."""

import json
import random
from typing import Any

from benchmarks.answer import Question
from benchmarks.prompts import words_text
from demo_model.tasks import extract
from demo_model.words import LEVELS

FIELDS = ("time", "level", "device", "metric", "value", "unit")
MAX_TOKENS = 128


def _record(properties: dict[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


DEMO_SCHEMA = _record(
    {
        "time": {"type": "string", "maxLength": 8},
        "level": {"enum": list(LEVELS)},
        "device": {"type": "string", "maxLength": 16},
        "metric": {"type": "string", "maxLength": 16},
        "value": {"type": "number"},
        "unit": {"type": "string", "maxLength": 8},
    }
)
RANDOM_SCHEMA = _record(
    {
        "time": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}:[0-9]{2}$"},
        "level": {"enum": ["DEBUG", "ERROR"]},
        "device": {"type": "string", "pattern": "^[A-Z]-[0-9]{3}$"},
        "metric": {"enum": ["temperature", "pressure", "humidity", "speed"]},
        "value": {"type": "string", "pattern": "^[0-9]{4}$"},
        "unit": {"enum": ["kPa", "rpm", "ppm", "kHz"]},
    }
)
"""Of values that are equally long whatever is chosen: a random model would fill a string to its limit."""


def demo_questions(rng: random.Random, count: int) -> list[Question]:
    """Return log lines that hold every field of the record, as the demo model was trained on."""
    questions: list[Question] = []
    while len(questions) < count:
        example = extract(rng, held=True)
        if tuple(json.loads(example.answer)) == FIELDS:
            questions.append(Question(example.prompt, MAX_TOKENS, is_chat=True, schema=DEMO_SCHEMA))
    return questions


def random_questions(rng: random.Random, count: int) -> list[Question]:
    """Return texts of 64 tokens: what they say makes no difference to random weights."""
    return [
        Question(words_text(rng, 64), MAX_TOKENS, is_chat=True, schema=RANDOM_SCHEMA) for _ in range(count)
    ]
