"""Between our packets and paho's: MQTT 5 properties in both directions."""

from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.wire.packets import BrokerLimits, Delivery, Publication


def connect_properties(session_expiry_s: int, receive_maximum: int, max_packet_bytes: int) -> Any:  # noqa: ANN401 -- paho's Properties are built by attribute
    """Return what the broker is told at CONNECT; without an expiry the session would die with the socket."""
    properties = _empty(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = session_expiry_s
    properties.ReceiveMaximum = receive_maximum
    properties.MaximumPacketSize = max_packet_bytes
    return properties


def publish_properties(publication: Publication, *, is_will: bool = False) -> Any:  # noqa: ANN401 -- paho's Properties are built by attribute
    """Return the properties of a publication or a will."""
    properties = _empty(PacketTypes.WILLMESSAGE if is_will else PacketTypes.PUBLISH)
    properties.ContentType = publication.content_type
    if publication.content_type.startswith(("application/json", "text/")):
        properties.PayloadFormatIndicator = 1
    if publication.correlation:
        properties.CorrelationData = publication.correlation
    if publication.response_topic:
        properties.ResponseTopic = publication.response_topic
    if publication.expiry_s is not None:
        properties.MessageExpiryInterval = publication.expiry_s
    if publication.properties:
        properties.UserProperty = list(publication.properties)
    return properties


def limits(properties: Any) -> BrokerLimits:  # noqa: ANN401 -- paho's Properties are read by attribute
    """Return what the broker allows, as its CONNACK says; under MQTT 3.1.1 it says nothing."""
    usual = BrokerLimits()
    return BrokerLimits(
        max_packet_bytes=getattr(properties, "MaximumPacketSize", usual.max_packet_bytes),
        receive_maximum=getattr(properties, "ReceiveMaximum", usual.receive_maximum),
        max_qos=getattr(properties, "MaximumQoS", usual.max_qos),
        can_retain=bool(getattr(properties, "RetainAvailable", usual.can_retain)),
    )


def delivery(message: MQTTMessage) -> Delivery:
    """Return a message as our own type.

    Raises:
        UnicodeDecodeError: the topic is not UTF-8.
    """
    properties = message.properties
    return Delivery(
        topic=message.topic,
        payload=bytes(message.payload),
        retain=message.retain,
        content_type=getattr(properties, "ContentType", None),
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation=getattr(properties, "CorrelationData", b""),
        expiry_s=getattr(properties, "MessageExpiryInterval", None),
        properties=tuple(getattr(properties, "UserProperty", ())),
    )


def _empty(packet_type: int) -> Any:  # noqa: ANN401 -- as above
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho leaves it untyped
