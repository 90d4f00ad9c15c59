"""Pairs on the disk: which one is in use, and what is never chosen."""

import datetime as dt
import stat
from pathlib import Path

import pytest
from rig.authority import Authority

from agent.identity.pair import Pair, Pairs
from agent.wire.errors import AgentError, ConfigError

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return Pairs(tmp_path / "identity")


def test_without_a_promotion_no_pair_is_in_use(pairs: Pairs, authority: Authority) -> None:
    pairs.add(*authority.parts("box"))

    assert pairs.current is None


def test_a_promoted_pair_is_in_use_and_knows_its_certificate(pairs: Pairs, authority: Authority) -> None:
    pair = pairs.add(*authority.parts("box", days=30))

    pairs.promote(pair)

    assert (pairs.current, pairs.valid, pair.name) == (pair, pair, "box")
    assert pair.not_before < NOW < pair.not_after < NOW + dt.timedelta(days=31)


def test_the_key_is_for_its_owner_alone(pairs: Pairs, authority: Authority) -> None:
    pair = pairs.add(*authority.parts("box"))

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (pair.key_file, pair.folder, pair.folder.parent)]

    assert modes == [0o600, 0o700, 0o700]


def test_a_pair_that_is_tried_is_remembered_until_it_is_promoted(pairs: Pairs, authority: Authority) -> None:
    first, second = (pairs.add(*authority.parts("box")) for _ in range(2))
    pairs.promote(first)

    pairs.try_next(second)
    tried = (pairs.current, pairs.next)
    pairs.promote(second)

    assert tried == (first, second)
    assert (pairs.current, pairs.next) == (second, None)


def test_a_pair_that_is_given_up_leaves_the_old_one_in_use_and_nothing_behind(
    pairs: Pairs, authority: Authority
) -> None:
    first, second = (pairs.add(*authority.parts("box")) for _ in range(2))
    pairs.promote(first)
    pairs.try_next(second)

    pairs.give_up(second)

    assert (pairs.current, pairs.next, second.folder.exists()) == (first, None, False)


def test_one_pair_before_the_present_one_is_kept(pairs: Pairs, authority: Authority) -> None:
    all_pairs = [pairs.add(*authority.parts("box")) for _ in range(4)]

    for pair in all_pairs:
        pairs.promote(pair)

    assert [pair.folder.exists() for pair in all_pairs] == [False, False, True, True]


@pytest.mark.parametrize("name", ["key_file", "cert_file", "ca_file"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN"])
def test_a_damaged_pair_is_not_chosen_and_the_one_before_takes_its_place(
    pairs: Pairs, authority: Authority, name: str, content: bytes
) -> None:
    first, second = (pairs.add(*authority.parts("box")) for _ in range(2))
    pairs.promote(first)
    pairs.promote(second)

    getattr(second, name).write_bytes(content)

    assert pairs.current == first


def test_a_torn_pair_is_not_tried(pairs: Pairs, authority: Authority) -> None:
    pairs.promote(pairs.add(*authority.parts("box")))
    torn = pairs.add(*authority.parts("box"))
    pairs.try_next(torn)

    torn.cert_file.unlink()

    assert pairs.next is None


def test_a_certificate_for_another_key_is_refused_in_a_sentence(pairs: Pairs, authority: Authority) -> None:
    key, _, _ = authority.parts("box")
    _, chain, authorities = authority.parts("box")

    with pytest.raises(AgentError, match="made for another key"):
        pairs.add(key, chain, authorities)

    assert pairs.current is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "identity").write_text("a file where the folder should be")

    with pytest.raises(ConfigError, match=r"identity.*check identity\.folder"):
        Pairs(tmp_path / "identity").add(*authority.parts("box"))


def test_a_certificate_that_is_over_is_in_use_but_not_valid(pairs: Pairs, authority: Authority) -> None:
    pair: Pair = pairs.add(*authority.parts("box"))
    pairs.promote(pair)

    later = pair.not_after + dt.timedelta(seconds=1)

    assert (pair.is_valid(later), pairs.current) == (False, pair)
