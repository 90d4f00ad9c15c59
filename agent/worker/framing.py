"""How a frame stands in the stream: its length in four bytes, then JSON. Free of any library."""

import struct

MAX_FRAME_BYTES = 1 << 20
LENGTH = struct.Struct("!I")


def framed(body: bytes) -> bytes:
    """Return the bytes of one frame."""
    return LENGTH.pack(len(body)) + body
