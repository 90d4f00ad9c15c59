"""Two clients with one id: seen by links that end as soon as they begin."""

from agent.mqtt.take_overs import SHORT_LIVES, TakeOvers


def test_links_that_end_soon_again_and_again_are_noticed() -> None:
    watch = TakeOvers()

    verdicts = [watch.link_ended(0.5) for _ in range(SHORT_LIVES)]

    assert verdicts == [False] * (SHORT_LIVES - 1) + [True]


def test_after_a_rest_one_more_short_life_is_enough() -> None:
    watch = TakeOvers()
    for _ in range(SHORT_LIVES):
        watch.link_ended(0.5)

    assert watch.link_ended(0.5)


def test_a_link_that_lived_or_a_broker_that_was_away_is_another_matter() -> None:
    watch = TakeOvers()
    for _ in range(SHORT_LIVES - 1):
        watch.link_ended(0.5)

    assert not watch.link_ended(60.0)
    assert not watch.link_ended(None)
    assert not watch.link_ended(0.5)
