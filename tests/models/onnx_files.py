"""ONNX files by hand, field by field, so that each can be wrong in exactly one way."""

from collections.abc import Mapping

MODEL_GRAPH, MODEL_TRAINING, MODEL_FUNCTION = 7, 20, 25
GRAPH_NODE, GRAPH_TENSOR, GRAPH_SPARSE = 1, 5, 15
NODE_ATTRIBUTE, FUNCTION_NODE, FUNCTION_ATTRIBUTE = 5, 7, 11
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS, ATTRIBUTE_SPARSE = 5, 6, 10, 11, 22
TENSOR_NAME, TENSOR_RAW, TENSOR_EXTERNAL = 8, 9, 13


def varint(value: int) -> bytes:
    raw = bytearray()
    while value > 0x7F:
        raw.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*raw, value))


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def count(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def text(number: int, value: str) -> bytes:
    return field(number, value.encode())


def tensor(location: str = "model.onnx.data", **more: str) -> bytes:
    """Return a tensor whose weights lie in another file."""
    return tensor_of({"location": location, **more})


def tensor_of(entries: Mapping[str, str]) -> bytes:
    external = (text(1, key) + text(2, value) for key, value in entries.items())
    name = text(TENSOR_NAME, "w")
    return count(1, 4) + count(2, 1) + name + b"".join(field(TENSOR_EXTERNAL, one) for one in external)


def model(*graphs: bytes) -> bytes:
    """Return an ONNX file of format version 8."""
    return count(1, 8) + text(2, "by hand") + b"".join(field(MODEL_GRAPH, graph) for graph in graphs)


def graph(*tensors: bytes) -> bytes:
    return b"".join(field(GRAPH_TENSOR, one) for one in tensors)


SMALLEST = model(text(2, "graph"))
"""A graph that computes nothing and needs no weights."""
