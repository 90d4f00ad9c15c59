"""A new certificate in front of the broker: whom it lets in, and what becomes of a pair that it does not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rig.authority import Authority
from rig.box import DEVICE, TOPICS
from rig.mosquitto import Mosquitto
from rig.newcomer import wait_until
from rig.renewing import DUE_DAYS, Link, Service, alone, received

from agent.identity.pair import Pair, Pairs
from agent.identity.request import Pending
from agent.identity.trial import Failed, Trials, Verdict
from agent.settings import BrokerSettings
from agent.wire.certificates import REVOKED
from agent.wire.errors import ConfigError

OVER_DAYS = 1.2e-11
"""A microsecond: certificates know no parts of a second, so that this one is over when it is made."""


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that no broker of these tests trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))


def test_a_certificate_of_a_stranger_is_given_up_and_the_old_one_serves_on(
    authority: Authority,
    stranger: Authority,
    folder: Path,
    service: Service,
    link_up: Callable[..., Link],
) -> None:
    old = authority.enrol(folder, DEVICE, DUE_DAYS)
    link_up()

    service.say(service.accept(service.next_ask(), signer=stranger))
    told = service.wait_for_event("certificate_refused")

    assert (told["step"], "the old one stays" in told["reason"]) == ("trial", True)
    assert (Pairs(folder).current, Pairs(folder).next) == (old, None)
    assert [path.name for path in (folder / "pairs").iterdir()] == [str(old.number)]


def test_after_a_failed_trial_the_next_request_has_a_new_key_and_succeeds(
    authority: Authority,
    stranger: Authority,
    folder: Path,
    service: Service,
    link_up: Callable[..., Link],
) -> None:
    authority.enrol(folder, DEVICE, DUE_DAYS)
    link = link_up()
    first = service.next_ask()

    service.say(service.accept(first, signer=stranger))
    service.wait_for_event("certificate_refused")
    second = service.next_ask()
    while second.body["request"] == first.body["request"]:
        second = service.next_ask()
    service.say(service.accept(second))
    service.wait_for_event("certificate_renewed")

    assert link.rotation.body()["refusal"] == ""


def test_a_pair_that_was_being_tried_when_the_power_went_is_tried_again_without_asking(
    authority: Authority, folder: Path, service: Service, link_up: Callable[..., Link]
) -> None:
    authority.enrol(folder, DEVICE, DUE_DAYS)
    tried = received(authority, folder)
    Pairs(folder).try_next(tried)

    link_up()
    service.wait_for_event("certificate_renewed")

    assert Pairs(folder).current == tried
    assert not [reply for reply in service.requester.replies if reply.topic == TOPICS.certificate_request]


def test_the_key_of_a_pair_that_the_power_cut_left_untried_is_not_asked_with_again(
    authority: Authority, folder: Path, service: Service, link_up: Callable[..., Link]
) -> None:
    authority.enrol(folder, DEVICE, DUE_DAYS)
    Pairs(folder).try_next(received(authority, folder))
    assert Pending(folder, DEVICE).is_waiting

    link_up()
    service.wait_for_event("certificate_renewed")

    assert not Pending(folder, DEVICE).is_waiting


def test_a_trial_that_takes_too_long_begins_its_link_again(
    authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = authority.enrol(folder, DEVICE)
    Pairs(folder).try_next(received(authority, folder))
    begun: list[bool] = []
    rotation = alone(folder, pair, reconnect=lambda: begun.append(True))
    monkeypatch.setattr("agent.identity.rotation.TRIAL_S", 0.0)

    rotation.connected()
    rotation.tick()
    rotation.tick()

    assert begun == [True, True]


def test_a_trial_that_took_too_long_is_told_as_such() -> None:
    old, new = Pair(Path("old")), Pair(Path("new"))
    told: list[Verdict] = []
    trials = Trials(old, told.append, reconnect=lambda: None)
    trials.begin(new)
    trials.credentials(BrokerSettings())

    trials.give_up("it took too long")
    trials.disconnected("the certificate changes")
    trials.credentials(BrokerSettings())
    trials.connected()

    assert told == [Failed(new, "it took too long")]


def test_a_certificate_is_not_to_blame_for_a_broker_that_is_away_and_is_tried_again(
    authority: Authority,
    folder: Path,
    broker: Mosquitto,
    service: Service,
    link_up: Callable[..., Link],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = authority.enrol(folder, DEVICE, DUE_DAYS)
    begin = Trials.begin

    def begin_without_broker(trials: Trials, pair: Pair) -> None:
        monkeypatch.setattr(Trials, "begin", begin)
        broker.stop()
        begin(trials, pair)

    monkeypatch.setattr(Trials, "begin", begin_without_broker)
    link = link_up()
    service.say(service.accept(service.next_ask()))
    wait_until(lambda: "tried again" in link.rotation.body()["refusal"])

    broker.start()
    service.wait_for_event("certificate_renewed")

    current = Pairs(folder).current
    assert current is not None
    assert (current.number, link.rotation.body()["refusal"]) == (old.number + 1, "")


def test_a_certificate_that_a_full_disk_does_not_take_is_kept_as_soon_as_there_is_room(
    authority: Authority,
    folder: Path,
    service: Service,
    link_up: Callable[..., Link],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = authority.enrol(folder, DEVICE, DUE_DAYS)
    promote = Pairs.promote

    def promote_on_a_full_disk(_pairs: Pairs, _pair: Pair) -> None:
        monkeypatch.setattr(Pairs, "promote", promote)
        raise ConfigError("cannot write: No space left on device; check identity.folder")

    monkeypatch.setattr(Pairs, "promote", promote_on_a_full_disk)
    link_up()
    service.say(service.accept(service.next_ask()))
    service.wait_for_event("certificate_refused")
    service.wait_for_event("certificate_renewed")

    current = Pairs(folder).current
    assert current is not None
    assert current.number == old.number + 1


def test_a_valid_pair_that_waits_is_tried_before_the_claim_when_the_old_one_is_over(
    authority: Authority, folder: Path
) -> None:
    old = authority.enrol(folder, DEVICE, OVER_DAYS)
    waiting = received(authority, folder)
    Pairs(folder).try_next(waiting)
    rotation = alone(folder, old, enrol=lambda: old)

    rotation.tick()

    used = rotation.credentials(BrokerSettings(url="mqtts://127.0.0.1:1"))
    assert used.cert_file == waiting.cert_file


def test_a_pair_that_is_no_longer_in_use_is_not_held_against_the_new_one() -> None:
    old, new = Pair(Path("old")), Pair(Path("new"))
    trials = Trials(old, lambda _: None, reconnect=lambda: None)
    trials.credentials(BrokerSettings())

    trials.use(new)
    trials.disconnected(f"the broker does not accept our certificate ({REVOKED})")

    assert not trials.is_revoked
