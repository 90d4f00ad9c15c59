"""What a certificate of the fleet is for."""

from enum import StrEnum


class Role(StrEnum):
    """What kind of member holds it; the registry keeps these words."""

    DEVICE = "device"
    CLIENT = "client"
    CLAIM = "claim"
    FLEET = "fleet"
    BROKER = "broker"
