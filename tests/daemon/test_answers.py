"""What a requester hears of a prompt that is answered."""

import subprocess

import pytest
from rig.box import TOPICS, Box, chat


def test_an_answer_goes_to_the_response_topic_with_the_same_correlation(box: Box) -> None:
    topic, correlation = "promptd/v1/client/me/response/1", b"\x00\xff-my-own"

    ticket = box.send(chat("hello"), response_topic=topic, correlation=correlation)

    assert (box.ending(ticket).topic, box.ending(ticket).correlation) == (topic, correlation)


def test_an_answer_is_a_chat_completion_with_openais_names(box: Box) -> None:
    request = chat("hello", id="names-1")

    body = box.ending(box.send(request)).body

    assert body["id"] == "names-1"
    assert body["object"] == "chat.completion"
    assert body["choices"] == [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}
    ]
    body["usage"].pop("completion_tokens_details")  # how much was guessed is a matter of speed
    assert body["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 5,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert body["timings"].keys() == {
        "queue_ms",
        "prompt_ms",
        "first_token_ms",
        "decode_ms",
        "decode_tokens_per_s",
    }
    assert body["engine"].keys() == {"variant", "model_sha256"}


def test_an_answer_carries_the_properties_of_the_contract(box: Box) -> None:
    ticket = box.send(chat("hello"))

    reply = box.ending(ticket)

    assert reply.properties == {"event": "completed", "status": "200"}
    assert (reply.qos, reply.is_retained) == (1, False)
    assert (reply.content_type, reply.format_indicator) == ("application/json", 1)
    assert reply.expiry_s is not None
    assert reply.expiry_s > 500


def test_complete_answers_with_a_text_completion(box: Box) -> None:
    ticket = box.send({"prompt": "go on"}, "complete")

    body = box.ending(ticket).body

    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "go on")


def test_without_a_response_topic_the_answer_goes_to_the_devices_own(box: Box) -> None:
    box.send(chat("hello", id="no-topic"), response_topic="", correlation=b"")

    reply = box.requester.wait_for(lambda r: r.topic == TOPICS.response("no-topic"))

    assert reply.body["choices"][0]["message"]["content"] == "hello"


def test_plain_text_by_mosquitto_pub_is_a_prompt(box: Box, free_broker_port: int) -> None:
    command = [
        "mosquitto_pub",
        "-p",
        str(free_broker_port),
        "-t",
        TOPICS.request("chat"),
        "-m",
        "plain words",
    ]

    subprocess.run(command, check=True, timeout=20)

    box.requester.wait_for(lambda r: r.event == "completed" and b"plain words" in r.payload)


@pytest.fixture
def free_broker_port(box: Box) -> int:
    return int(box.config.read_text().split("127.0.0.1:")[1].split('"')[0])


def test_a_stream_begins_with_accepted_and_its_chunks_join_to_the_answer(box: Box) -> None:
    text = "words that come one after the other, \N{SNOWMAN} " * 200

    ticket = box.send(chat(text, stream=True))

    answer = box.ending(ticket).body["choices"][0]["message"]["content"]
    replies = [r for r in box.requester.replies if r.correlation == ticket.correlation]
    assert [r.event for r in replies] == ["accepted", *["chunk"] * (len(replies) - 2), "completed"]
    chunks = replies[1:-1]
    assert [r.properties["sequence"] for r in chunks] == [str(n) for n in range(len(chunks))]
    assert "".join(r.body["choices"][0]["delta"]["content"] for r in chunks) == answer == text


def test_progress_is_announced_without_a_stream(box: Box) -> None:
    ticket = box.send(chat("hello", progress=True))

    (accepted,) = box.heard(ticket, "accepted")

    assert accepted.body["queue"].keys() == {"position", "predicted_start_ms", "predicted_finish_ms"}
    assert (accepted.properties["status"], accepted.qos) == ("202", 0)


def test_an_answer_that_reaches_max_tokens_says_so(box: Box) -> None:
    ticket = box.send(chat("abcdef", max_tokens=3))

    (choice,) = box.ending(ticket).body["choices"]

    assert (choice["message"]["content"], choice["finish_reason"]) == ("abc", "length")


def test_an_answer_ends_before_a_stop_string(box: Box) -> None:
    ticket = box.send(chat("one two three", stop=["two"]))

    (choice,) = box.ending(ticket).body["choices"]

    assert (choice["message"]["content"], choice["finish_reason"]) == ("one ", "stop")


def test_many_prompts_at_once_are_all_answered(box: Box) -> None:
    tickets = [box.send(chat(f"number {n}")) for n in range(100)]

    texts = [box.ending(ticket).body["choices"][0]["message"]["content"] for ticket in tickets]

    assert texts == [f"number {n}" for n in range(100)]
