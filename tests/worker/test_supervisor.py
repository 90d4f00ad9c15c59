"""The supervisor with real workers: what cannot run falls, with a reason."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent.settings import EngineSettings
from agent.wire.errors import ConfigError
from agent.worker.frames import Refused
from agent.worker.start import Candidate
from agent.worker.supervisor import Supervisor
from worker.watching import Witness, asking, candidate, demo_weights

Supervise = Callable[[Sequence[Candidate]], Supervisor]


@pytest.fixture
def half_a_model(tmp_path: Path) -> Path:
    whole, half = demo_weights("gguf-cpu"), tmp_path / "half.gguf"
    assert whole is not None
    half.write_bytes(whole.read_bytes()[:2_000_000])
    return half


def test_a_ready_engine_is_described(supervise: Supervise, witness: Witness) -> None:
    supervisor = supervise([candidate("gguf-cpu")])

    up = witness.wait_for_up()

    assert (supervisor.state.phase, supervisor.state.falls) == ("ready", ())
    assert (up.facts.device, up.badge.variant) == ("cpu", "gguf-cpu")
    assert (supervisor.state.facts, supervisor.state.badge) == (up.facts, up.badge)


def test_a_model_that_cannot_be_loaded_falls_to_the_next_with_its_reason(
    supervise: Supervise, witness: Witness, half_a_model: Path
) -> None:
    supervisor = supervise([candidate("gguf-cpu", half_a_model), candidate("echo")])

    up = witness.wait_for_up()

    assert up.badge.variant == "echo"
    assert [fall.split(str(half_a_model))[0] for fall in supervisor.state.falls] == [
        "gguf-cpu: llama.cpp cannot load "
    ]


def test_an_engine_that_cannot_use_the_promised_device_falls(supervise: Supervise, witness: Witness) -> None:
    weights = demo_weights("onnx-cpu-int4")
    supervisor = supervise([candidate("onnx-dml-int4", weights), candidate("echo")])

    up = witness.wait_for_up()

    assert up.badge.variant == "echo"
    assert supervisor.state.falls[0].startswith("onnx-dml-int4: ")


def test_a_required_variant_that_does_not_prove_itself_is_a_mistake_of_configuration(
    witness: Witness, half_a_model: Path
) -> None:
    wishes = EngineSettings(require="gguf-cpu")
    supervisor = Supervisor([candidate("gguf-cpu", half_a_model)], wishes, witness)

    with pytest.raises(ConfigError, match=r"engine\.require: gguf-cpu: llama\.cpp cannot load") as caught:
        supervisor.run()

    assert caught.value.exit_code == 78


def test_without_any_candidate_the_state_says_that_nothing_fits(witness: Witness) -> None:
    supervisor = Supervisor([], EngineSettings(require="gguf-cpu"), witness)

    with pytest.raises(ConfigError, match="no variant fits this box"):
        supervisor.run()

    assert supervisor.state.phase == "failed"


def test_a_preferred_variant_that_does_not_fit_is_named_as_a_fall(witness: Witness) -> None:
    misfits = ["gguf-cuda: there is no NVIDIA GPU"]
    supervisor = Supervisor([candidate("echo")], EngineSettings(), witness, misfits)
    thread = threading.Thread(target=supervisor.run)

    thread.start()
    witness.wait_for_up()
    supervisor.stop()
    thread.join()

    assert supervisor.state.falls == tuple(misfits)


def test_a_prompt_too_large_for_the_worker_is_refused_and_harms_nobody(
    supervise: Supervise, witness: Witness
) -> None:
    supervisor = supervise([candidate("echo")])
    witness.wait_for_up()

    refused = supervisor.send(asking("huge", "\x01" * 300_000))
    supervisor.send(asking("small", "hello"))

    assert isinstance(refused, Refused)
    assert (refused.id, refused.code) == ("huge", "payload_too_large")
    assert witness.wait_for_end("small").tokens == 5
