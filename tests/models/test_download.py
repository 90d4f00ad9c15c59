import hashlib

import pytest

from agent.models.download import pull
from agent.models.store import Store
from agent.wire.errors import ModelError
from models.hub import COMMIT, Hub
from models.pulling import AT_ONCE, GGUF, PHI, WEIGHTS, fetch


def test_a_pulled_gguf_is_installed_with_its_digest(hub: Hub, store: Store) -> None:
    model = fetch(hub, store)

    file = model.variants[0].files[0]
    assert model.path_for("gguf-cpu").read_bytes() == WEIGHTS
    assert (file.size_bytes, file.sha256) == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert [finding.fault for finding in store.verify(store.resolve("phi-3-mini"))] == [""]


def test_a_pulled_folder_has_only_its_own_files(hub: Hub, store: Store) -> None:
    model = fetch(hub, store, "onnx-cuda-int4")

    folder = model.path_for("onnx-cuda-int4")
    assert sorted(path.name for path in folder.iterdir()) == [
        "genai_config.json",
        "model.onnx",
        "model.onnx.data",
    ]
    assert folder.name == f"onnx-cuda-int4-{COMMIT[:12]}"


def test_a_second_variant_joins_the_first(hub: Hub, store: Store) -> None:
    fetch(hub, store)

    model = fetch(hub, store, "onnx-cuda-int4")

    assert [variant.id for variant in model.variants] == ["gguf-q4", "onnx-cuda-int4"]
    assert model.path_for("gguf-cpu").is_file()


def test_the_files_are_asked_for_at_the_commit_and_the_token_stays_at_the_hub(hub: Hub, store: Store) -> None:
    fetch(hub, store)

    resolved = next(headers for _, path, headers in hub.asked if f"/resolve/{COMMIT}/" in path)
    stored = next(headers for _, path, headers in hub.asked if path.startswith("/storage/"))
    assert resolved["Authorization"] == "Bearer secret"
    assert "Authorization" not in stored


def test_no_request_tells_more_than_the_versions(hub: Hub, store: Store) -> None:
    fetch(hub, store)

    agents = {headers["User-Agent"].partition(";")[0].partition("/")[0] for _, _, headers in hub.asked}
    paths = {path for _, path, _ in hub.asked}
    assert agents == {"promptd"}
    assert all(path.startswith(("/api/models/", "/microsoft/", "/storage/")) for path in paths)


def test_a_connection_cut_in_the_middle_is_continued_there(hub: Hub, store: Store) -> None:
    hub.cut_after_bytes = [400_000, 300_000]

    model = fetch(hub, store)

    assert model.path_for("gguf-cpu").read_bytes() == WEIGHTS
    assert hub.ranges() == ["", "bytes=400000-", "bytes=700000-"]


def test_a_pull_that_gave_up_is_continued_by_the_next(hub: Hub, store: Store) -> None:
    hub.cut_after_bytes = [600_000, 0, 0, 0]
    with pytest.raises(ModelError, match="what arrived is kept"):
        fetch(hub, store)

    model = fetch(hub, store)

    assert model.path_for("gguf-cpu").read_bytes() == WEIGHTS
    assert hub.ranges() == ["", *["bytes=600000-"] * 4]


def test_a_connection_that_brings_something_every_time_is_never_given_up(hub: Hub, store: Store) -> None:
    hub.cut_after_bytes = [100_000] * 8

    model = fetch(hub, store)

    assert model.path_for("gguf-cpu").read_bytes() == WEIGHTS
    assert len(hub.ranges()) == 9


def test_a_hub_that_ignores_ranges_is_read_from_the_beginning(hub: Hub, store: Store) -> None:
    hub.cut_after_bytes = [500_000]
    hub.ignores_ranges = True

    model = fetch(hub, store)

    assert model.path_for("gguf-cpu").read_bytes() == WEIGHTS


def test_a_passing_server_error_is_tried_again(hub: Hub, store: Store) -> None:
    hub.statuses = {"Phi-3-mini-4k-instruct-gguf": [503], GGUF: [500, 429]}

    model = fetch(hub, store)

    assert model.path_for("gguf-cpu").read_bytes() == WEIGHTS


def test_what_is_installed_is_not_fetched_again(hub: Hub, store: Store) -> None:
    fetch(hub, store)
    hub.asked.clear()

    model = fetch(hub, store)

    assert model.path_for("gguf-cpu").is_file()
    assert hub.ranges() == []


def test_a_damaged_installation_is_fetched_again(hub: Hub, store: Store) -> None:
    fetch(hub, store).path_for("gguf-cpu").write_bytes(b"short")

    model = fetch(hub, store)

    assert model.path_for("gguf-cpu").read_bytes() == WEIGHTS


def test_a_newer_commit_replaces_the_files_of_the_older(hub: Hub, store: Store) -> None:
    old = fetch(hub, store).path_for("gguf-cpu")
    hub.commit, hub.files[GGUF] = "f" * 40, WEIGHTS[::-1]

    new = fetch(hub, store).path_for("gguf-cpu")

    assert new.read_bytes() == WEIGHTS[::-1]
    assert not old.exists()


def test_what_was_gathered_of_an_older_commit_is_forgotten(hub: Hub, store: Store) -> None:
    hub.cut_after_bytes = [600_000, 0, 0, 0]
    with pytest.raises(ModelError, match="what arrived is kept"):
        fetch(hub, store)
    hub.commit = "f" * 40

    fetch(hub, store)

    assert [path for path in (store.folder / ".staging").rglob("*") if path.suffix == ".gguf"] == []


def test_progress_counts_the_bytes_of_all_files(hub: Hub, store: Store) -> None:
    told: list[tuple[str, int, int]] = []
    hub.cut_after_bytes = [2]

    pull(
        PHI,
        "onnx-cuda-int4",
        store,
        endpoint=hub.endpoint,
        patience=AT_ONCE,
        progress=lambda *step: told.append(step),
    )

    assert told[-1] == ("model.onnx.data", 5007, 5007)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
