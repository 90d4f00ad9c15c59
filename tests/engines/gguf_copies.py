"""Copies of a GGUF file that differ in its metadata only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf

TYPES = "tokenizer.ggml.token_type"
TEMPLATE = "tokenizer.chat_template"


def copy_gguf(source: Path, target: Path, changes: Mapping[str, Any]) -> Path:
    """Write a copy in which some keys have other values; return its path."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kind = field.types[0]
            item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, changes.get(field.name, field.contents()), kind, item)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def read_value(source: Path, key: str) -> Any:  # noqa: ANN401 -- whatever the key holds
    return gguf.GGUFReader(source).fields[key].contents()
