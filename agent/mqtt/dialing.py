"""How a client is made and how it knocks: identity, TLS, session, limits."""

import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.mqtt import packing
from agent.mqtt.tolerant import TolerantClient
from agent.settings import BrokerSettings
from agent.wire.certificates import NOT_ACCEPTED
from agent.wire.errors import ConfigError
from agent.wire.packets import Publication

SESSION_EXPIRY_S = 7 * 24 * 3600
RECEIVE_MAXIMUM = 8
SEND_MAXIMUM = 8
"""Publications of QoS 1 on their way, at most; a broker that allows fewer is obeyed in `outgoing.py`."""
PACKET_OVERHEAD_BYTES = 16_384
WRONG_TIME = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (X509_STORE_CTX_get_error(3))."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are to the broker, and what it keeps for us."""

    client_id: str
    subscriptions: tuple[str, ...] = ()
    will: Publication | None = None
    keeps_session: bool = True
    wants_retained: bool = False
    max_payload_bytes: int = 262_144


def build(settings: BrokerSettings, identity: Identity) -> TolerantClient:
    """Return a client that is ready to connect.

    Raises:
        ConfigError: the password or a certificate cannot be used.
    """
    is_v5 = settings.protocol == "5"
    client = TolerantClient(
        CallbackAPIVersion.VERSION2,
        client_id=identity.client_id,
        clean_session=None if is_v5 else not identity.keeps_session,
        protocol=paho.MQTTv5 if is_v5 else paho.MQTTv311,
        transport="websockets" if settings.scheme in ("ws", "wss") else "tcp",
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.max_inflight_messages = SEND_MAXIMUM
    client.on_socket_open = _no_delay
    if settings.scheme in ("mqtts", "wss"):
        client.tls_set_context(_tls(settings))
    if settings.username:
        client.username_pw_set(settings.username, settings.password())
    if will := identity.will:
        properties = packing.publish_properties(will, is_will=True) if is_v5 else None
        client.will_set(will.topic, will.payload, will.qos, will.retain, properties)
    return client


def connect(client: paho.Client, settings: BrokerSettings, identity: Identity) -> None:
    """Open the socket and send CONNECT.

    Raises:
        OSError: the broker cannot be reached, or TLS failed.
    """
    if settings.protocol != "5":
        client.connect(settings.host, settings.port, settings.keepalive_s)
        return
    properties = packing.connect_properties(
        SESSION_EXPIRY_S if identity.keeps_session else 0,
        RECEIVE_MAXIMUM,
        identity.max_payload_bytes + PACKET_OVERHEAD_BYTES,
    )
    client.connect(
        settings.host,
        settings.port,
        settings.keepalive_s,
        clean_start=not identity.keeps_session,
        properties=properties,
    )


def explain(error: OSError | ConfigError) -> str:
    """Return why there is no link, and what the operator can do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in WRONG_TIME:
            return (
                f"the broker's certificate is not trusted ({error.verify_message}); this box believes it is "
                f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC: set its clock if that is wrong, else "
                f"renew the broker's certificate"
            )
        return (
            f"the broker's certificate is not trusted ({error.verify_message}); broker.ca_file must name the "
            f"authority that signed it, and broker.url the host it is made for"
        )
    if isinstance(error, ssl.SSLError) and "ALERT" in str(error.reason):
        word = str(error.reason).rpartition("ALERT_")[2].replace("_", " ").lower()
        if word == "certificate required":
            return (
                "the broker wants a certificate, and this box has none: give it a claim, and it enrols by "
                "itself, or carry its request: promptd identity request"
            )
        return f"the broker {NOT_ACCEPTED} ({word}); is it expired, revoked or a stranger's?"
    return str(error)


def _no_delay(_client: paho.Client, _data: object, link: Any) -> None:  # noqa: ANN401 -- TCP, TLS or WebSocket
    """Switch Nagle's algorithm off: it costs 40 ms a message on a quiet link (paho issue 874)."""
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls(settings: BrokerSettings) -> ssl.SSLContext:
    for name in ("ca_file", "cert_file", "key_file"):
        _see_readable(f"broker.{name}", getattr(settings, name))
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ConfigError(f"broker.ca_file: {settings.ca_file} holds no certificates ({error})") from error
    if settings.cert_file:
        try:
            # With an empty password OpenSSL asks nobody for that of an encrypted key.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
        except OSError as error:
            raise ConfigError(
                f"broker.cert_file and key_file: {settings.cert_file} and {settings.key_file} cannot be used "
                f"({error}); both must be PEM, of one pair, and the key not encrypted"
            ) from error
    return context


def _see_readable(name: str, file: Path | None) -> None:
    """Say which file it is that is away or closed to us: OpenSSL does not."""
    try:
        if file:
            file.open("rb").close()
    except OSError as error:
        raise ConfigError(
            f"{name}: {file} cannot be read ({error.strerror}); the user of promptd must be able to"
        ) from error
