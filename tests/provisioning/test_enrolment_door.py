"""What waits for the service, and how fast it may come."""

from rig.clock import Clock

from provisioning.enrolment.door import Door, Rate


def test_requests_are_taken_in_the_order_they_came() -> None:
    door = Door()
    door.put("first", b"1")
    door.put("second", b"2")

    taken = [door.take(0), door.take(0), door.take(0)]

    assert taken == [("first", b"1"), ("second", b"2"), None]


def test_a_repetition_waits_once() -> None:
    door = Door(capacity=1)
    door.put("topic", b"same")

    is_taken = door.put("topic", b"same")

    assert (is_taken, door.take(0), door.take(0)) == (True, ("topic", b"same"), None)


def test_what_somebody_else_asks_on_a_topic_takes_no_place_of_a_request() -> None:
    door = Door()
    door.put("topic", b"of the box")

    door.put("topic", b"of a thief")

    assert door.take(0) == ("topic", b"of the box")


def test_one_request_too_many_stays_outside() -> None:
    door = Door(capacity=1)
    door.put("first", b"")

    is_taken = door.put("second", b"")

    assert not is_taken


def test_who_is_too_fast_hears_when_to_come_back_and_holds_up_nobody_else() -> None:
    clock = Clock()
    rate = Rate(burst=2, per_minute=60, clock_s=clock)

    waits = [rate.wait_s("claim-a") for _ in range(3)]

    assert waits == [0, 0, 1]
    assert rate.wait_s("claim-b") == 0


def test_who_was_too_fast_is_heard_again_after_that_time() -> None:
    clock = Clock()
    rate = Rate(burst=1, per_minute=60, clock_s=clock)
    rate.wait_s("claim-a")

    clock.now_s += rate.wait_s("claim-a")

    assert rate.wait_s("claim-a") == 0
