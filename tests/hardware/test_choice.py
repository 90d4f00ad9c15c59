"""What the wishes of an operator and the speeds of a calibration do to the order of the variants."""

from dataclasses import replace

from agent.engines.options import Speeds
from agent.hardware.choice import Verdict, choose, threads
from agent.hardware.facts import Facts, Gpu, Memory, Unknown
from agent.models.manifest import Model
from agent.settings import EngineSettings

GB = 10**9


def verdict_on(variant: str, verdicts: tuple[Verdict, ...]) -> Verdict:
    return next(verdict for verdict in verdicts if verdict.variant == variant)


def alone(tokens_per_s: float) -> Speeds:
    return Speeds(100.0, ((1, 1000 / tokens_per_s),))


def fitting(verdicts: tuple[Verdict, ...]) -> list[str]:
    return [verdict.variant for verdict in verdicts if verdict.fits]


def with_memory(box: Facts, total_gb: float, free_gb: float) -> Facts:
    total_bytes = int(total_gb * GB)
    return replace(box, memory=Memory(total_bytes, total_bytes, int(free_gb * GB), "the machine"))


def test_without_wishes_the_box_gets_the_whole_context_in_as_many_slots_as_fit(
    box: Facts, phi: Model
) -> None:
    facts = box

    verdict = choose(facts, phi, EngineSettings())[0]

    assert (verdict.variant, verdict.slots, verdict.context_length) == ("gguf-cpu", 4, 4096)
    assert verdict.reason == "fits: needs 12.3 GB of 12.4 GB available, with 4 instead of 8 slots"


def test_slots_are_lowered_before_the_context_is(box: Facts, phi: Model) -> None:
    facts = with_memory(box, 8, 7)

    verdict = choose(facts, phi, EngineSettings())[0]

    assert (verdict.slots, verdict.context_length) == (2, 4096)


def test_the_context_is_lowered_when_one_slot_does_not_fit_and_the_reason_says_so(
    box: Facts, phi: Model
) -> None:
    facts = with_memory(box, 4, 3.5)

    verdict = choose(facts, phi, EngineSettings())[0]

    assert (verdict.slots, verdict.context_length) == (1, 1024)
    assert "with the context lowered to 1 slot of 1024 tokens" in verdict.reason


def test_explicit_numbers_are_honoured(box: Facts, phi: Model) -> None:
    wishes = EngineSettings(slots=2, context_length=3000)

    verdict = choose(box, phi, wishes)[0]

    assert (verdict.slots, verdict.context_length, verdict.fits) == (2, 3000, True)


def test_explicit_numbers_that_do_not_fit_are_refused_with_their_sizes(box: Facts, phi: Model) -> None:
    wishes = EngineSettings(slots=8, context_length=4096)

    verdict = verdict_on("gguf-cpu", choose(box, phi, wishes))

    assert verdict.reason == "needs 15.5 GB for 8 slots of 4096 tokens, 12.4 GB available"
    assert (verdict.slots, verdict.context_length) == (8, 4096)


def test_a_context_longer_than_the_model_was_trained_for_is_refused(box: Facts, phi: Model) -> None:
    wishes = EngineSettings(context_length=8192)

    verdicts = choose(box, phi, wishes)

    expected = "engine.context_length is 8192, but the model was trained for 4096 tokens"
    assert verdict_on("gguf-cpu", verdicts).reason == expected
    assert fitting(verdicts) == []


def test_a_preferred_variant_moves_to_the_front(box: Facts, phi: Model) -> None:
    wishes = EngineSettings(prefer="onnx-cpu-int4")

    verdicts = choose(box, phi, wishes)

    assert fitting(verdicts) == ["onnx-cpu-int4", "gguf-cpu"]
    assert "preferred by engine.prefer" in verdicts[0].reason


def test_a_preferred_variant_that_cannot_run_leaves_the_others_in_place(box: Facts, phi: Model) -> None:
    wishes = EngineSettings(prefer="onnx-cuda-fp16")

    verdicts = choose(box, phi, wishes)

    assert fitting(verdicts) == ["gguf-cpu", "onnx-cpu-int4"]


def test_a_required_variant_is_the_only_one(box: Facts, phi: Model) -> None:
    wishes = EngineSettings(require="onnx-cpu-int4")

    verdicts = choose(box, phi, wishes)

    assert fitting(verdicts) == ["onnx-cpu-int4"]
    assert verdict_on("gguf-cpu", verdicts).reason == "engine.require names onnx-cpu-int4"


def test_a_required_variant_that_does_not_fit_is_refused_and_nothing_replaces_it(
    box: Facts, phi: Model
) -> None:
    facts = with_memory(box, 2, 1.5)

    verdicts = choose(facts, phi, EngineSettings(require="gguf-cpu"))

    assert fitting(verdicts) == []
    expected = "needs at least 2.7 GB for 1 slot of 512 tokens, 1.3 GB available"
    assert verdict_on("gguf-cpu", verdicts).reason == expected


def test_measured_speeds_decide_the_order(box: Facts, phi: Model) -> None:
    measured = {"gguf-cpu": alone(6.1), "onnx-cpu-int4": alone(8.4)}

    verdicts = choose(box, phi, EngineSettings(), measured)

    assert fitting(verdicts) == ["onnx-cpu-int4", "gguf-cpu"]
    assert verdicts[0].reason.endswith("measured 8.4 tokens/s")


def test_the_variant_that_is_faster_over_all_its_slots_comes_first(box: Facts, phi: Model) -> None:
    measured = {
        "gguf-cpu": Speeds(90.0, ((1, 100.0), (2, 110.0), (4, 160.0))),
        "onnx-cpu-int4": Speeds(90.0, ((1, 80.0), (2, 100.0))),
    }

    verdicts = choose(box, phi, EngineSettings(), measured)

    assert fitting(verdicts) == ["gguf-cpu", "onnx-cpu-int4"]
    assert verdicts[0].reason.endswith("measured 25.0 tokens/s with 4 side by side")


def test_a_preferred_variant_stays_in_front_of_a_faster_one(box: Facts, phi: Model) -> None:
    measured = {"gguf-cpu": alone(6.1), "onnx-cpu-int4": alone(8.4)}

    verdicts = choose(box, phi, EngineSettings(prefer="gguf-cpu"), measured)

    assert fitting(verdicts) == ["gguf-cpu", "onnx-cpu-int4"]


def test_a_measured_variant_that_does_not_fit_any_more_is_not_chosen(box: Facts, phi: Model) -> None:
    facts = with_memory(box, 4, 3.5)

    verdicts = choose(facts, phi, EngineSettings(), {"gguf-cpu": alone(6.1), "onnx-cpu-int4": alone(8.4)})

    assert fitting(verdicts) == ["gguf-cpu"]


def test_a_model_that_exists_only_as_gguf_refuses_the_onnx_variants(box: Facts, phi: Model) -> None:
    model = replace(phi, variants=tuple(v for v in phi.variants if v.format == "gguf"))

    verdicts = choose(box, model, EngineSettings())

    refused = verdict_on("onnx-cpu-int4", verdicts)
    assert fitting(verdicts) == ["gguf-cpu"]
    assert (refused.reason, refused.needed_bytes) == ("the model has no int4 CPU variant", None)


def test_a_model_that_exists_only_as_onnx_refuses_llama_cpp(box: Facts, phi: Model) -> None:
    model = replace(phi, variants=tuple(v for v in phi.variants if v.format == "onnx"))

    verdicts = choose(box, model, EngineSettings())

    assert fitting(verdicts) == ["onnx-cpu-int4"]
    assert verdict_on("gguf-cpu", verdicts).reason == "the model has no GGUF variant"


def test_the_demo_model_fits_where_a_large_one_does_not(box: Facts, demo: Model) -> None:
    facts = with_memory(box, 0.44, 0.30)

    verdicts = choose(facts, demo, EngineSettings())

    assert fitting(verdicts) == ["gguf-cpu", "onnx-cpu-int4"]


def test_echo_runs_when_it_is_preferred(box: Facts, phi: Model) -> None:
    wishes = EngineSettings(prefer="echo")

    verdicts = choose(box, phi, wishes)

    assert fitting(verdicts)[0] == "echo"


def test_echo_runs_alone_when_it_is_required_even_for_a_model_without_variants(
    box: Facts, phi: Model
) -> None:
    model = replace(phi, variants=())

    verdicts = choose(box, model, EngineSettings(require="echo", context_length=100_000))

    assert fitting(verdicts) == ["echo"]


def test_memory_that_is_unknown_refuses_nothing_and_is_named(box: Facts, phi: Model) -> None:
    facts = replace(box, memory=Unknown("cannot read /proc/meminfo: No such file or directory"))

    verdict = choose(facts, phi, EngineSettings())[0]

    assert (verdict.fits, verdict.slots, verdict.available_bytes) == (True, 1, None)
    assert "available memory is unknown: cannot read /proc/meminfo" in verdict.reason


def test_the_verdict_names_the_gpu_that_was_judged(box: Facts, phi: Model) -> None:
    small = Gpu("A", "GPU-a", 8 * GB, 7 * GB, is_unified=False, compute_capability=(8, 6), driver="570")
    large = replace(small, uuid="GPU-b", memory_free_bytes=8 * GB)
    facts = replace(box, gpus=(small, large), packages=replace(box.packages, has_llama_cuda=True))

    verdict = choose(facts, phi, EngineSettings())[0]

    assert (verdict.variant, verdict.gpu_uuid, verdict.slots) == ("gguf-cuda", "GPU-b", 2)


def test_threads_are_the_usable_physical_cores_unless_somebody_wishes_otherwise(box: Facts) -> None:
    facts = replace(box, cpu=replace(box.cpu, physical_cores=8, usable_physical_cores=3))

    found = threads(facts, EngineSettings()), threads(facts, EngineSettings(threads=6))

    assert found == (3, 6)
