import os
import struct
import timeit
from pathlib import Path

import gguf as reference
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.models.gguf_header import read_gguf_header
from agent.models.gguf_types import FILE_TYPES, TENSOR_TYPES
from agent.models.inspect import inspect_path
from agent.wire.errors import ModelError
from models.ggufs import PAIRS, gguf, number, pair, string, tensor, text, write

HUGE = 1 << 62
MANY = 0x7FFFFFFFFFFFFFC0

ALIGNMENT = "general.alignment"
SHORT = tensor("a", shape=(1,))

MALFORMED = {
    "HEADER_BAD_MAGIC": (gguf(magic=b"FUGG"), "not a GGUF file"),
    "HEADER_BAD_VERSION_0": (gguf(version=0), "version 0"),
    "HEADER_BAD_VERSION_1": (gguf(version=1), "version 1"),
    "HEADER_BAD_VERSION_FUTURE": (gguf(version=4), "version 4"),
    "HEADER_BAD_N_TENSORS": (gguf(claimed_tensors=(1 << 64) - 1), "claims"),
    "HEADER_BAD_N_KV": (gguf(claimed_pairs=(1 << 64) - 1), "at most 65536"),
    "KV_BAD_KEY_SIZE": (gguf((struct.pack("<Q", (1 << 64) - 1) + b"k",)), "ends inside"),
    "KV_EMPTY_KEY": (gguf((*PAIRS, number("", 1))), "without a name"),
    "KV_BAD_TYPE": (gguf((pair("k", 13, bytes(8)),)), "unknown value type 13"),
    "KV_DUPLICATE_KEY": (gguf((*PAIRS, PAIRS[0])), "twice"),
    "KV_BAD_ALIGN": (gguf((*PAIRS, number(ALIGNMENT, 13))), "power of two"),
    "KV_WRONG_TYPE_ALIGN": (gguf((*PAIRS, pair(ALIGNMENT, 5, struct.pack("<i", 32)))), "value type 5"),
    "TENSORS_BAD_NAME_SIZE": (gguf(tensors=(tensor(name="n" * 64),)), "64 bytes"),
    "TENSORS_BAD_N_DIMS": (gguf(tensors=(tensor(shape=(1, 1, 1, 1, 1)),)), "5 dimensions"),
    "TENSORS_BAD_SHAPE": (gguf(tensors=(tensor(shape=((1 << 64) - 1,)),)), "2^63"),
    "TENSORS_ZERO_DIM": (gguf(tensors=(tensor(shape=(32, 0)),)), "a dimension of 0"),
    "TENSORS_NE_TOO_BIG": (gguf(tensors=(tensor(shape=(1 << 32, 1 << 32)),)), "2^63"),
    "TENSORS_NBYTES_TOO_BIG": (gguf(tensors=(tensor(shape=(1 << 62,), kind=27),)), "ends before"),
    "TENSORS_BAD_TYPE": (gguf(tensors=(tensor(kind=4),)), "unknown tensor type 4"),
    "TENSORS_BAD_OFFSET": (gguf(tensors=(tensor(offset=1 << 40),)), "must follow at 0"),
    "TENSORS_DUPLICATE_NAME": (gguf(tensors=(tensor(), tensor(offset=128))), "twice"),
    "TENSORS_BAD_ALIGN": (gguf((*PAIRS, number(ALIGNMENT, 48)), (SHORT,)), "power of two"),
    "TENSORS_INCONSISTENT_ALIGN": (gguf(tensors=(SHORT, tensor("b", offset=4))), "must follow at 32"),
    "DATA_NOT_ENOUGH_DATA": (gguf(weights=bytes(127)), "ends before"),
    "DATA_BAD_ALIGN": (gguf((*PAIRS, number(ALIGNMENT, 0))), "power of two"),
    "DATA_INCONSISTENT_ALIGN": (gguf(tensors=(tensor(offset=1),)), "must follow at 0"),
    "DATA_MEM_SIZE_OVERFLOW": (
        gguf(tensors=(tensor("a", (MANY,), 24), tensor("b", (MANY,), 24, offset=MANY))),
        "ends before",
    ),
    "big endian": (gguf(version=0x03000000), "big-endian"),
    "one key too many": (gguf(claimed_pairs=len(PAIRS) + 1, tensors=()), "without a name"),
    "long string": (gguf((string("k") + struct.pack("<IQ", 8, HUGE),)), "claims"),
    "long array": (gguf((string("k") + struct.pack("<IIQ", 9, 4, HUGE),)), "an array of"),
    "string array": (gguf((string("k") + struct.pack("<IIQ", 9, 8, 1 << 40),)), "strings"),
    "long string in an array": (gguf((string("k") + struct.pack("<IIQQ", 9, 8, 1, HUGE),)), "ends inside"),
    "endless string in an array": (
        gguf((string("k") + struct.pack("<IIQQQ", 9, 8, 2, (1 << 64) - 1, 0),)),
        "ends inside",
    ),
    "nested array": (gguf((string("k") + struct.pack("<IIQ", 9, 9, 1),)), "unknown value type 9"),
    "key not UTF-8": (gguf((string(b"\xff\xfe") + struct.pack("<II", 4, 1),)), "UTF-8"),
    "key with a NUL": (gguf((*PAIRS, number("a\0b", 1))), "NUL"),
    "template": (gguf((text("tokenizer.chat_template", "x" * 65_537),)), "chat template of 65537"),
    "template of a name": (gguf((text("tokenizer.chat_template.tool", "x" * 65_537),)), "chat template of"),
    "alignment text": (gguf((*PAIRS, text(ALIGNMENT, "32"))), "value type 8"),
    "alignment list": (gguf((*PAIRS, pair(ALIGNMENT, 9, struct.pack("<IQI", 4, 1, 32)))), "value type 9"),
    "part of a model": (gguf((*PAIRS, number("split.count", 2))), "merge"),
    "no dimension": (gguf(tensors=(tensor(shape=()),)), "0 dimensions"),
    "overflow by a zero": (gguf(tensors=(tensor(shape=(1 << 63, 0)),)), "2^63"),
    "row": (gguf(tensors=(tensor(shape=(31,), kind=2),)), "multiple of 32"),
    "overlap": (gguf(tensors=(tensor("a"), tensor("b"))), "must follow at 128"),
    "gap": (gguf(tensors=(tensor("a"), tensor("b", offset=256)), weights=bytes(512)), "must follow at 128"),
    "tensor name with a NUL": (gguf(tensors=(tensor(name="a\0b"),)), "NUL"),
    "no byte": (b"", "ends inside the magic"),
}
"""Files that are wrong in one way. Those in capitals are named like the kinds of llama.cpp's test-gguf."""

GOOD = {
    "HEADER_EMPTY": gguf((), ()),
    "KV_SUCCESS": gguf(tensors=()),
    "TENSORS_SUCCESS": gguf(tensors=(tensor("a"), tensor("b", (1,), offset=128)), weights=bytes(132)),
    "TENSORS_CUSTOM_ALIGN": gguf((*PAIRS, number(ALIGNMENT, 1)), (SHORT, tensor("b", (1,), offset=4))),
    "DATA_SUCCESS": gguf(),
    "DATA_CUSTOM_ALIGN": gguf((*PAIRS, number(ALIGNMENT, 64)), weights=bytes(192)),
    "version 2": gguf(version=2),
    "not split": gguf((*PAIRS, number("split.count", 1))),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_file_is_refused_with_its_fault(kind: str, tmp_path: Path) -> None:
    content, fault = MALFORMED[kind]
    path = write(tmp_path, content)

    with pytest.raises(ModelError) as caught:
        read_gguf_header(path)

    assert fault in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_file_is_let_in(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, GOOD[kind])

    header = read_gguf_header(path)

    assert header.version in (2, 3)


def test_a_good_file_gives_its_metadata_and_tensors(tmp_path: Path) -> None:
    path = write(tmp_path, gguf())

    header = read_gguf_header(path)

    assert header.metadata["llama.block_count"] == 2
    assert [(each.name, each.type_name, each.size_bytes) for each in header.tensors] == [("w", "F32", 128)]


def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    whole = gguf()
    faults = []

    for size in range(len(whole)):
        path = write(tmp_path, whole[:size])
        with pytest.raises(ModelError, match=r"ends (inside|before)|magic|claims"):
            read_gguf_header(path)
        faults.append(size)

    assert len(faults) == len(whole)


def test_a_file_of_the_reference_writer_is_understood(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    path = tmp_path / "reference.gguf"
    writer = reference.GGUFWriter(path, "phi3")
    writer.add_block_count(32)
    writer.add_context_length(4096)
    writer.add_embedding_length(3072)
    writer.add_head_count(32)
    writer.add_head_count_kv([32, 8, 32])
    writer.add_file_type(15)
    writer.add_token_list(["a", "b", "c"])
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("w", np.zeros((4, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    model = inspect_path(path)

    assert (model.shape.layers, model.shape.kv_heads, model.shape.head_dim) == (32, 32, 96)
    assert (model.variants[0].precision, model.variants[0].engines) == ("Q4_K_M", ("gguf-cpu", "gguf-cuda"))


def test_our_tables_agree_with_the_reference() -> None:
    ours = {kind: (elements, size) for kind, (_, elements, size) in TENSOR_TYPES.items()}

    theirs = {int(kind): sizes for kind, sizes in reference.GGML_QUANT_SIZES.items()}
    names = {int(kind): kind.name.split("_", 1)[1] for kind in reference.LlamaFileType if kind < 1024}

    assert {kind: theirs[kind] for kind in ours} == ours
    assert {kind: names[kind].removesuffix("_MOE") for kind in FILE_TYPES} == FILE_TYPES


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(gguf()) - 1), st.binary(min_size=1, max_size=9)), min_size=1, max_size=4
    )
)
def test_whatever_is_changed_only_a_model_error_comes_out(
    changes: list[tuple[int, bytes]], tmp_path: Path
) -> None:
    content = bytearray(gguf())
    for at, patch in changes:
        content[at : at + len(patch)] = patch
    path = write(tmp_path, bytes(content))

    try:
        layers = inspect_path(path).shape.layers
    except ModelError as error:
        layers = len(str(error))

    assert layers > 0


def test_a_huge_file_is_read_no_further_than_its_header(tmp_path: Path) -> None:
    path = write(tmp_path, gguf(weights=b""))
    with path.open("r+b") as file:
        file.truncate(1 << 40)

    header = read_gguf_header(path)

    assert len(header.tensors) == 1


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "nothing.gguf"

    with pytest.raises(ModelError) as caught:
        read_gguf_header(path)

    assert "check the path" in str(caught.value)


def strings(key: str, count: int, content: bytes) -> bytes:
    return string(key) + struct.pack("<IIQ", 9, 8, count) + content


def test_a_vocabulary_is_judged_in_milliseconds(tmp_path: Path) -> None:
    words = b"".join(string(f"word{n}") for n in range(32_064))
    path = write(tmp_path, gguf((*PAIRS, strings("tokenizer.ggml.tokens", 32_064, words))))

    taken_s = min(timeit.repeat(lambda: read_gguf_header(path), number=1, repeat=5))

    assert taken_s <= 0.05


def test_strings_longer_than_what_is_read_at_once_are_passed_over(tmp_path: Path) -> None:
    words = string("w" * 300_000) + string("") + string("w" * 600_000)
    path = write(tmp_path, gguf((*PAIRS[:2], strings("tokenizer.ggml.tokens", 3, words), *PAIRS[2:])))

    header = read_gguf_header(path)

    assert header.metadata["llama.block_count"] == 2


def test_a_file_of_holes_costs_no_more_than_its_limit(tmp_path: Path) -> None:
    path = write(tmp_path, gguf((strings("a", 4_194_304, b""),), (), claimed_pairs=65_536))
    with path.open("r+b") as file:
        file.truncate(1 << 40)

    with pytest.raises(ModelError) as caught:
        read_gguf_header(path)

    assert "without a name" in str(caught.value)


def test_a_header_that_goes_on_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, gguf((string("k") + struct.pack("<IIQ", 9, 0, 70 << 20),)))
    with path.open("r+b") as file:
        file.truncate(1 << 40)

    with pytest.raises(ModelError) as caught:
        read_gguf_header(path)

    assert "more than 67108864 bytes before its weights" in str(caught.value)


def test_a_pipe_that_nobody_fills_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "model.gguf")

    with pytest.raises(ModelError) as caught:
        read_gguf_header(path)

    assert "not a regular file" in str(caught.value)


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null", "/proc"])
def test_a_device_or_a_folder_is_refused(place: str, tmp_path: Path) -> None:
    (path := tmp_path / "model.gguf").symlink_to(place)

    with pytest.raises(ModelError) as caught:
        read_gguf_header(path)

    assert "not a regular file" in str(caught.value)
