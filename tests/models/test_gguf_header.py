import struct
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

MALFORMED = {
    "magic": (gguf(magic=b"GGML"), "not a GGUF file"),
    "version": (gguf(version=1), "version 1"),
    "big endian": (gguf(version=0x03000000), "big-endian"),
    "tensor count": (gguf(claimed_tensors=HUGE), "claims"),
    "key count": (gguf(claimed_pairs=65_537), "at most 65536"),
    "one key too many": (gguf(claimed_pairs=len(PAIRS) + 1, tensors=()), "without a name"),
    "long key": (gguf((string("k")[:8].replace(b"\x01", b"\xff") + b"k",)), "ends inside"),
    "long string": (gguf((string("k") + struct.pack("<IQ", 8, HUGE),)), "claims"),
    "long array": (gguf((string("k") + struct.pack("<IIQ", 9, 4, HUGE),)), "an array of"),
    "string array": (gguf((string("k") + struct.pack("<IIQ", 9, 8, 1 << 40),)), "strings"),
    "nested array": (gguf((string("k") + struct.pack("<IIQ", 9, 9, 1),)), "unknown value type 9"),
    "value type": (gguf((pair("k", 13, bytes(8)),)), "unknown value type 13"),
    "key twice": (gguf((*PAIRS, PAIRS[0])), "twice"),
    "key not UTF-8": (gguf((string(b"\xff\xfe") + struct.pack("<II", 4, 1),)), "UTF-8"),
    "template": (gguf((text("tokenizer.chat_template", "x" * 65_537),)), "chat template of 65537"),
    "alignment": (gguf((*PAIRS, number("general.alignment", 48))), "power of two"),
    "alignment of zero": (gguf((*PAIRS, number("general.alignment", 0))), "power of two"),
    "alignment text": (gguf((*PAIRS, text("general.alignment", "32"))), "power of two"),
    "no dimension": (gguf(tensors=(tensor(shape=()),)), "0 dimensions"),
    "five dimensions": (gguf(tensors=(tensor(shape=(1, 1, 1, 1, 1)),)), "5 dimensions"),
    "overflow": (gguf(tensors=(tensor(shape=(1 << 32, 1 << 32)),)), "2^63"),
    "overflow by a zero": (gguf(tensors=(tensor(shape=(1 << 63, 0)),)), "2^63"),
    "row": (gguf(tensors=(tensor(shape=(31,), kind=2),)), "multiple of 32"),
    "tensor type": (gguf(tensors=(tensor(kind=4),)), "unknown tensor type 4"),
    "offset": (gguf(tensors=(tensor(offset=1 << 40),)), "ends before"),
    "crooked offset": (gguf(tensors=(tensor(offset=8),)), "multiple of 32"),
    "weights": (gguf(weights=bytes(127)), "ends before"),
    "tensor twice": (gguf(tensors=(tensor(), tensor())), "twice"),
    "tensor name": (gguf(tensors=(tensor(name="n" * 65),)), "65 bytes"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_file_is_refused_with_its_fault(kind: str, tmp_path: Path) -> None:
    content, fault = MALFORMED[kind]
    path = write(tmp_path, content)

    with pytest.raises(ModelError) as caught:
        read_gguf_header(path)

    assert fault in str(caught.value)
    assert str(path) in str(caught.value)


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
