"""Chores that come round."""

from agent.host.rounds import Rounds


def test_each_chore_is_done_at_its_own_interval_and_in_order() -> None:
    now_s, done = [100.0], list[str]()
    rounds = Rounds(lambda: now_s[0])
    rounds.add(0, lambda: done.append("always"))
    rounds.add(10, lambda: done.append("every 10 s"))

    for now_s[0] in (100.0, 109.0, 111.0, 120.0, 122.0):
        rounds.go()

    assert done == ["always", "always", "always", "every 10 s", "always", "always", "every 10 s"]
