"""An onnxruntime-genai model with as many threads as everybody else; its default costs a factor of 1.7."""

import json
import os
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime_genai as og

from benchmarks.peers.setup import Setup


def load(setup: Setup) -> Any:  # noqa: ANN401 -- the library has no types
    """Load the model on the CPU."""
    config = og.Config(str(setup.model))
    session = {"intra_op_num_threads": setup.threads}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
    config.clear_providers()
    return og.Model(config)
