import pytest

from agent.hardware.choice import Verdict
from agent.models.catalogue import BY_NAME, CATALOGUE
from agent.models.fit import choose_engine
from agent.models.manifest import Model
from agent.settings import Settings
from agent.wire.errors import ModelError

PHI = BY_NAME["phi-3-mini"]


def verdict(variant: str, *, fits: bool, reason: str = "fits") -> Verdict:
    return Verdict(variant, fits, reason, None, None, 4096, 1)


def choice(*verdicts: Verdict, engine: str = "", force: bool = False) -> str:
    return choose_engine(PHI, Settings(), lambda _model, _settings: verdicts, engine=engine, force=force)


def test_the_first_fitting_variant_with_weights_is_chosen() -> None:
    verdicts = verdict("echo", fits=True), verdict("gguf-cpu", fits=True), verdict("onnx-cpu-int4", fits=True)

    chosen = choice(*verdicts)

    assert chosen == "gguf-cpu"


def test_when_nothing_fits_every_reason_is_told() -> None:
    verdicts = (
        verdict("gguf-cuda", fits=False, reason="no NVIDIA GPU"),
        verdict("gguf-cpu", fits=False, reason="needs 2.4 GB, 1.1 GB available"),
    )

    with pytest.raises(ModelError) as caught:
        choice(*verdicts)

    assert "gguf-cuda: no NVIDIA GPU; gguf-cpu: needs 2.4 GB, 1.1 GB available" in str(caught.value)


def test_a_wished_engine_that_does_not_fit_is_refused_although_another_fits() -> None:
    verdicts = verdict("gguf-cpu", fits=True), verdict("gguf-cuda", fits=False, reason="no NVIDIA GPU")

    with pytest.raises(ModelError) as caught:
        choice(*verdicts, engine="gguf-cuda")

    assert "no NVIDIA GPU" in str(caught.value)


def test_a_wished_engine_that_does_not_fit_can_be_forced() -> None:
    verdicts = verdict("gguf-cpu", fits=True), verdict("gguf-cuda", fits=False, reason="no NVIDIA GPU")

    chosen = choice(*verdicts, engine="gguf-cuda", force=True)

    assert chosen == "gguf-cuda"


def test_an_unknown_engine_is_answered_with_the_known_ones() -> None:
    verdicts = verdict("gguf-cpu", fits=True), verdict("echo", fits=True)

    with pytest.raises(ModelError) as caught:
        choice(*verdicts, engine="echo")

    assert "choose one of gguf-cpu" in str(caught.value)


def test_the_judge_sees_sizes_and_shape_before_anything_is_fetched() -> None:
    judged: list[Model] = []

    def judge(model: Model, _settings: Settings) -> tuple[Verdict, ...]:
        judged.append(model)
        return (verdict("gguf-cpu", fits=True),)

    choose_engine(PHI, Settings(), judge)

    assert judged[0].shape.kv_bytes_per_token(2) == 2 * 32 * 32 * 96 * 2
    assert judged[0].variants[0].size_bytes == 2_400_000_000


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_entry_of_the_catalogue_is_consistent(entry: object) -> None:
    assert entry in CATALOGUE
    found = next(each for each in CATALOGUE if each is entry)

    engines = [engine for variant in found.variants for engine in variant.engines]

    assert len(set(engines)) == len(engines)
    assert all(variant.approximate_bytes > 10**9 for variant in found.variants)
    assert len({variant.id for variant in found.variants}) == len(found.variants)
