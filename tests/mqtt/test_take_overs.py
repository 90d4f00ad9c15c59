"""Two clients with one id: seen by links that end as soon as they begin."""

from agent.mqtt.take_overs import ACCIDENTS, LONGEST_REST_S, TakeOvers


def test_a_few_short_lives_are_accidents() -> None:
    watch = TakeOvers()

    rests_s = [watch.rest_s(0.5) for _ in range(ACCIDENTS)]

    assert rests_s == [0.0] * ACCIDENTS


def test_with_every_further_one_the_rest_grows_up_to_a_minute() -> None:
    watch = TakeOvers()

    rests_s = [watch.rest_s(0.5) for _ in range(ACCIDENTS + 12)][ACCIDENTS:]

    assert 1.0 <= rests_s[0] <= 2.0
    assert LONGEST_REST_S / 2 <= rests_s[-1] <= LONGEST_REST_S


def test_a_link_that_lived_ends_it() -> None:
    watch = TakeOvers()
    for _ in range(ACCIDENTS + 5):
        watch.rest_s(0.5)

    rests_s = [watch.rest_s(60.0), watch.rest_s(0.5)]

    assert rests_s == [0.0, 0.0]


def test_a_broker_that_was_away_is_another_matter() -> None:
    watch = TakeOvers()
    for _ in range(ACCIDENTS + 5):
        watch.rest_s(0.5)

    rests_s = [watch.rest_s(None), watch.rest_s(0.5)]

    assert rests_s == [0.0, 0.0]
