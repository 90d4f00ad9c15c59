"""Copies of the shipped files with float32 weights: the same numbers, without the arithmetic of few bits."""

import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

HEAD = ("general.architecture", "general.file_type")


def float_gguf(source: Path, target: Path) -> None:
    """Write every tensor of a GGUF file as float32."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name not in HEAD:
            kind = field.types[0]
            item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, item)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def float_onnx(source: Path, target: Path) -> None:
    """Write the folder with a plain MatMul in place of every MatMulNBits."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("model.onnx*"))
    model = onnx.load(source / "model.onnx")
    stored = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            _unpack(node, stored)
    del model.graph.initializer[:]
    model.graph.initializer.extend(stored.values())
    onnx.save(model, target / "model.onnx")


def _unpack(node: Any, stored: dict[str, Any]) -> None:  # noqa: ANN401 -- protobuf classes without types
    shape = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    entry, packed, scales = node.input
    weight = _weight(
        shape, numpy_helper.to_array(stored.pop(packed)), numpy_helper.to_array(stored.pop(scales))
    )
    stored[packed] = numpy_helper.from_array(weight, packed)
    node.CopyFrom(helper.make_node("MatMul", [entry, packed], list(node.output), name=node.name))


def _weight(shape: dict[str, int], packed: NDArray[Any], scales: NDArray[Any]) -> NDArray[np.float32]:
    """Return (inputs, outputs) from four-bit codes around 8, two a byte, the lower half first."""
    if shape["bits"] != 4:
        raise ValueError(f"{shape['bits']} bits are not unpacked here")
    rows = shape["N"]
    codes = np.stack((packed & 15, packed >> 4), axis=-1).reshape(rows, -1, shape["block_size"])
    floats = (codes.astype(np.float32) - 8) * scales.reshape(rows, -1, 1)
    return np.ascontiguousarray(floats.reshape(rows, -1)[:, : shape["K"]].T, dtype=np.float32)
