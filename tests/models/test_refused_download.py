import dataclasses
from pathlib import Path

import pytest
from huggingface_hub import constants

from agent.models.download import pull
from agent.models.store import Store
from agent.wire.errors import ModelError
from models.hub import Hub
from models.pulling import AT_ONCE, FOLDER, GGUF, PHI, WEIGHTS, fetch


def test_a_wrong_digest_deletes_the_file_and_installs_nothing(hub: Hub, store: Store) -> None:
    hub.served[GGUF] = WEIGHTS[:-1] + b"!"

    with pytest.raises(ModelError, match=r"another digest than .* was deleted"):
        fetch(hub, store)

    assert [path for path in store.folder.rglob("*") if path.suffix == ".gguf"] == []
    assert store.installed() == ()


def test_a_wrong_small_file_is_recognised_by_its_git_digest(hub: Hub, store: Store) -> None:
    hub.served[f"{FOLDER}/model.onnx"] = b"grapH"

    with pytest.raises(ModelError, match=r"model\.onnx arrived with another digest"):
        fetch(hub, store, "onnx-cuda-int4")

    assert store.installed() == ()


def test_more_than_was_listed_is_not_stored(hub: Hub, store: Store) -> None:
    hub.served[GGUF] = WEIGHTS * 4

    with pytest.raises(ModelError, match="another digest"):
        fetch(hub, store)

    assert store.installed() == ()


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "newer promptd"), (503, "answers 503")]
)
def test_a_refusal_says_what_to_do(status: int, advice: str, hub: Hub, store: Store) -> None:
    hub.statuses = {"Phi-3-mini-4k-instruct-gguf": [status] * 3}

    with pytest.raises(ModelError) as caught:
        fetch(hub, store)

    assert advice in str(caught.value)
    assert "engine.model" in str(caught.value)


def test_a_file_that_is_gone_says_so(hub: Hub, store: Store) -> None:
    del hub.files[GGUF]

    with pytest.raises(ModelError, match=r"has no Phi-3-mini-4k-instruct-q4\.gguf any more"):
        fetch(hub, store)

    assert store.installed() == ()


def test_a_box_without_a_network_is_told_to_side_load(store: Store) -> None:
    with pytest.raises(ModelError) as caught:
        pull(PHI, "gguf-cpu", store, endpoint="http://127.0.0.1:9", patience=AT_ONCE)

    assert "cannot fetch phi-3-mini" in str(caught.value)
    assert "engine.model" in str(caught.value)


def test_too_little_disk_is_refused_with_both_sizes_before_anything_is_fetched(
    hub: Hub, store: Store
) -> None:
    with pytest.raises(ModelError, match=r"needs 1 MB more in .* but 12 kB are free"):
        pull(PHI, "gguf-cpu", store, endpoint=hub.endpoint, patience=AT_ONCE, free=lambda _: 12_000)

    assert hub.ranges() == []


def test_a_listing_that_climbs_out_of_the_folder_is_refused(hub: Hub, store: Store) -> None:
    entry = dataclasses.replace(PHI, variants=(dataclasses.replace(PHI.variants[0], path="../x.gguf"),))
    hub.files["../x.gguf"] = WEIGHTS

    with pytest.raises(ModelError, match="inside the model's folder"):
        pull(entry, "gguf-cpu", store, endpoint=hub.endpoint, patience=AT_ONCE)

    assert hub.ranges() == []


def test_a_second_pull_at_the_same_time_is_refused(hub: Hub, store: Store) -> None:
    refusals: list[str] = []

    def pull_again(_name: str, _done_bytes: int, _total_bytes: int) -> None:
        if not refusals:
            with pytest.raises(ModelError) as caught:
                fetch(hub, store)
            refusals.append(str(caught.value))

    pull(PHI, "gguf-cpu", store, endpoint=hub.endpoint, patience=AT_ONCE, progress=pull_again)

    assert refusals == ["another pull of this model is running; wait until it ends"]


def test_the_offline_switch_of_the_library_is_named(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids"):
        fetch(hub, store)

    assert hub.asked == []


def test_a_store_that_cannot_be_written_is_a_model_error(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")

    with pytest.raises(ModelError, match="cannot write"):
        fetch(hub, Store(tmp_path / "models", embedded=tmp_path / "none"))

    assert hub.ranges() == []


def test_an_engine_without_weights_is_answered_with_the_ones_that_have(hub: Hub, store: Store) -> None:
    with pytest.raises(ModelError, match="choose one of gguf-cpu, gguf-cuda, onnx-cpu-int4"):
        fetch(hub, store, "echo")

    assert hub.asked == []
