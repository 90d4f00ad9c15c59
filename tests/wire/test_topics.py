"""Topic strings, MQTT's matching rules, and where answers may go."""

import pytest

from agent.wire.topics import ResponseTopicRule, Topics, matches

TOPICS = Topics("site/a", "box")
RULE = ResponseTopicRule(TOPICS.default_response_filters)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/+", "a/", True),
        ("+/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "a/b", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "ab", False),
        ("a/+/c/#", "a/b/c", True),
        ("a/+/c/#", "a/b/d", False),
        ("A/b", "a/b", False),
    ],
)
def test_matching_follows_the_mqtt_specification(topic_filter: str, topic: str, *, expected: bool) -> None:
    found = matches(topic_filter, topic)

    assert found is expected


@pytest.mark.parametrize(
    "topic",
    ["site/a/v1/client/me/response/1", "site/a/v1/device/box/response/x/y", "site/a/v1/client/me/response"],
)
def test_the_default_rule_allows_topics_for_answers(topic: str) -> None:
    is_allowed = RULE.allows(topic)

    assert is_allowed


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "site/a/v1/client/me/response/+",
        "site/a/v1/client/me/response/#",
        "site/a/v1/client/+/response/x",
        "$SYS/broker/load",
        "$share/g/site/a/v1/client/me/response/1",
        "site/a/v1/client//response/1",
        "site/a/v1/client/me/response/",
        "/site/a/v1/client/me/response/1",
        "site/a/v1/client/me/response/a\0b",
        "site/a/v1/device/other/request/chat",
        "site/a/v1/device/box/request/chat",
        "site/a/v1/device/other/response/1",
        "site/a/v1/device/box/status",
        "promptd/v1/client/me/response/1",
        "site/a/v1/client/me/response/" + "x" * 228,
    ],
)
def test_the_default_rule_forbids_everything_else(topic: str) -> None:
    is_allowed = RULE.allows(topic)

    assert not is_allowed


def test_a_response_topic_may_have_256_bytes_but_not_257() -> None:
    start = "site/a/v1/client/me/response/"

    answers = [RULE.allows(start + "x" * (size - len(start))) for size in (256, 257)]

    assert answers == [True, False]


@pytest.mark.parametrize("topic", ["$SYS/x", "anything/+", "a//b"])
def test_even_a_rule_for_everything_forbids_what_is_no_plain_topic(topic: str) -> None:
    is_allowed = ResponseTopicRule(("#",)).allows(topic)

    assert not is_allowed


def test_the_topics_of_a_device_stand_below_its_prefix() -> None:
    prefix = "site/a/v1/device/box"

    topics = (
        TOPICS.requests,
        TOPICS.status,
        TOPICS.info,
        TOPICS.health,
        TOPICS.response("1"),
        TOPICS.event("e"),
    )

    tails = ("request/+", "status", "info", "health", "response/1", "event/e")
    assert topics == tuple(f"{prefix}/{tail}" for tail in tails)
