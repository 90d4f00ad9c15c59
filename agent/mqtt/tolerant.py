"""A paho client that outlives a message it cannot read, and remembers why its socket failed.

Brokers pass on properties that the specification forbids, such as U+FEFF in a text. paho hangs up on them,
and the broker sends the same message first on every new link: one message from anybody would take a device
off the air for as long as the broker keeps it.
"""

import struct

import structlog
from paho.mqtt import MQTTException
from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

LOG = structlog.get_logger("promptd.broker")

QOS_BITS = 0x06


class TolerantClient(Client):
    """Acknowledges what it cannot read, says so in the log, and goes on."""

    fault: OSError | None = None
    """What ended the link while it was read; with TLS 1.3 a broker refuses a certificate in this way."""

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            return super()._sock_recv(bufsize)
        except BlockingIOError:
            raise
        except OSError as error:
            self.fault = error
            raise

    def _handle_publish(self) -> MQTTErrorCode:
        try:
            return super()._handle_publish()
        except MQTTException as error:
            packet_id = self._unread_packet_id()
            if packet_id is None:
                raise
            LOG.warning(
                "message_unreadable", reason=str(error), hint="its sender breaks MQTT; it is left out"
            )
            return self.ack(packet_id, 1)

    def _unread_packet_id(self) -> int | None:
        """Return the packet id of the message at hand, which stands before its properties; None at QoS 0."""
        packet = bytes(self._in_packet["packet"])
        try:
            (topic_bytes,) = struct.unpack_from("!H", packet)
            (packet_id,) = struct.unpack_from("!H", packet, 2 + topic_bytes)
        except struct.error:
            return None
        return int(packet_id) if self._in_packet["command"] & QOS_BITS else None
