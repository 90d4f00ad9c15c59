"""What surrounds a payload, judged before anybody reads the payload itself."""

from agent.wire.errors import SHOWN_CHARACTERS, InvalidField, PayloadTooLarge, UnsupportedContentType
from agent.wire.packets import Delivery

MAX_CORRELATION_BYTES = 64
MAX_PROPERTIES = 32
MAX_PROPERTY_BYTES = 256
"""Name and value of one user property together."""
ENCODING = "content-encoding"
"""The user property by which some senders say that they have compressed the payload."""
PLAIN_ENCODINGS = ("", "identity")
PLAIN_CHARSETS = ("utf-8", "utf8", "us-ascii")
CONTENT_TYPES = ("", "text/plain", "application/json")


def check_envelope(delivery: Delivery, max_payload_bytes: int) -> None:
    """Check everything about a delivery that is not its payload, and the payload's size.

    Raises:
        PayloadTooLarge: the payload has more than `max_payload_bytes`.
        InvalidField: Correlation Data or the user properties are too large.
        UnsupportedContentType: the payload is said to be compressed.
    """
    size_bytes = len(delivery.payload)
    if size_bytes > max_payload_bytes:
        raise PayloadTooLarge(
            f"{size_bytes} bytes are over the limit of {max_payload_bytes}; shorten the prompt"
        )
    if len(delivery.correlation) > MAX_CORRELATION_BYTES:
        raise InvalidField(
            f"Correlation Data is limited to {MAX_CORRELATION_BYTES} bytes", param="correlation"
        )
    if len(delivery.properties) > MAX_PROPERTIES:
        raise InvalidField(f"at most {MAX_PROPERTIES} user properties are allowed", param="user_properties")
    for name, value in delivery.properties:
        if len(name.encode()) + len(value.encode()) > MAX_PROPERTY_BYTES:
            raise InvalidField(
                f"a user property is limited to {MAX_PROPERTY_BYTES} bytes, name and value together",
                param="user_properties",
            )
        if name.lower() == ENCODING and value.lower() not in PLAIN_ENCODINGS:
            raise UnsupportedContentType("a compressed payload is not understood; send it as it is")


def content_kind(content_type: str | None) -> str:
    """Return `text/plain`, `application/json`, or nothing where the sender did not say.

    Raises:
        UnsupportedContentType: it is anything else, or not in UTF-8.
    """
    kind, *parameters = [part.strip().lower() for part in (content_type or "").split(";")]
    if kind not in CONTENT_TYPES:
        raise UnsupportedContentType(
            f"content type {kind[:SHOWN_CHARACTERS]!r} is not understood; use application/json or text/plain"
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in PLAIN_CHARSETS:
            raise UnsupportedContentType(f"charset {value[:SHOWN_CHARACTERS]!r} is not understood; use UTF-8")
    return kind
