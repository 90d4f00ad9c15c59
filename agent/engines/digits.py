"""Ends numbers of JSON that a model would write for ever.

A grammar allows any number of digits, and a small model that has written 0.333 likes to go on. No integer of
64 bits has more than 20 digits, no double-precision number needs more than 17, and none has an exponent above
three hundred.
"""

from dataclasses import dataclass

DIGITS = frozenset(b"0123456789")
MOST_DIGITS, MOST_EXPONENT_DIGITS = 20, 2


@dataclass(slots=True)
class DigitWatch:
    """Follows the bytes of a JSON text, and counts the digits that stand side by side outside of strings."""

    digits: int = 0
    is_exponent: bool = False
    _is_text: bool = False
    _is_escaped: bool = False

    @property
    def is_enough(self) -> bool:
        """Whether the number that is being written needs no more digits here."""
        return self.digits >= (MOST_EXPONENT_DIGITS if self.is_exponent else MOST_DIGITS)

    def push(self, piece: bytes) -> None:
        """Go on by the bytes of a token."""
        for byte in piece:
            if self._is_text:
                self._is_text = self._is_escaped or byte != ord('"')
                self._is_escaped = byte == ord("\\") and not self._is_escaped
            elif byte in DIGITS:
                self.digits += 1
            else:
                self._is_text = byte == ord('"')
                self.is_exponent = byte in b"eE" or (self.is_exponent and byte in b"+-")
                self.digits = 0
