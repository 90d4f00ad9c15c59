"""What the broker allows is kept to, whoever publishes."""

from typing import cast

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode

from agent.mqtt.dialing import SEND_MAXIMUM
from agent.mqtt.outgoing import Outgoing
from agent.wire.packets import BrokerLimits, Publication

ANSWER, CHUNK = Publication("out", b"{}"), Publication("out", b"{}", qos=0)


class Packet:
    rc = MQTTErrorCode.MQTT_ERR_SUCCESS

    def __init__(self, mid: int) -> None:
        self.mid = mid


class Client:
    """Takes everything and gives packet ids."""

    def __init__(self) -> None:
        self.retained: list[bool] = []

    def publish(self, *_: object, retain: bool, **__: object) -> Packet:
        self.retained.append(retain)
        return Packet(len(self.retained))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def outgoing(client: Client) -> Outgoing:
    return Outgoing(cast("paho.Client", client), 0, is_v5=True)


def test_no_more_is_unconfirmed_than_the_broker_wants(outgoing: Outgoing) -> None:
    outgoing.allow(BrokerLimits(receive_maximum=2))

    assert [outgoing.publish(ANSWER) for _ in range(3)] == [1, 2, None]


def test_a_confirmation_gives_room(outgoing: Outgoing) -> None:
    outgoing.allow(BrokerLimits(receive_maximum=1))
    outgoing.publish(ANSWER)

    outgoing.confirmed(1)

    assert outgoing.publish(ANSWER) == 2


def test_a_confirmation_of_somebody_elses_packet_gives_none(outgoing: Outgoing) -> None:
    outgoing.allow(BrokerLimits(receive_maximum=1))
    outgoing.publish(ANSWER)

    outgoing.confirmed(77)

    assert outgoing.publish(ANSWER) is None


def test_a_confirmation_may_come_before_the_packet_id_is_known(outgoing: Outgoing) -> None:
    quota = outgoing._quota
    quota.most = 1
    quota.ask()

    quota.confirmed(5)
    quota.sent(5)

    assert quota.ask()


def test_chunks_need_no_room(outgoing: Outgoing) -> None:
    outgoing.allow(BrokerLimits(receive_maximum=1))
    outgoing.publish(ANSWER)

    assert [outgoing.publish(CHUNK) for _ in range(SEND_MAXIMUM)] == list(range(2, SEND_MAXIMUM + 2))


def test_nothing_is_retained_where_the_broker_cannot(outgoing: Outgoing, client: Client) -> None:
    outgoing.allow(BrokerLimits(can_retain=False))

    outgoing.publish(Publication("status", b"{}", retain=True))

    assert client.retained == [False]


def test_the_same_packet_id_on_another_link_is_another_id(client: Client, outgoing: Outgoing) -> None:
    other = Outgoing(cast("paho.Client", client), 1, is_v5=True)

    assert outgoing.confirmed(7) != other.confirmed(7)
