"""A box that loses its power at any step of a renewal: it has one valid pair, and the next renewal works."""

import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rig.authority import Authority
from rig.box import DEVICE

from agent.identity.pair import Pairs
from agent.identity.request import Pending

STEPS = ("replace", "fsync", "symlink", "unlink", "mkdir", "rmdir")
"""What changes names or brings them to the disk."""
POWER_CUT = 17
FORK = multiprocessing.get_context("fork")


def renew(authority: Authority, folder: Path) -> None:
    """Do what a rotation does on the disk, up to the new pair in use."""
    pairs, pending = Pairs(folder), Pending(folder, DEVICE)
    issued = authority.sign(pending.pem(), DEVICE)
    pair = pending.receive(pairs, issued.chain_pem, authority.signer.authorities)
    pairs.try_next(pair)
    pending.forget()
    pairs.promote(pair)


def renew_in_vain(authority: Authority, folder: Path) -> None:
    """Do what a rotation does on the disk when the broker does not take the new pair."""
    pairs, pending = Pairs(folder), Pending(folder, DEVICE)
    issued = authority.sign(pending.pem(), DEVICE)
    pair = pending.receive(pairs, issued.chain_pem, authority.signer.authorities)
    pairs.try_next(pair)
    pending.forget()
    pairs.give_up(pair)


def cut_power_before(number: int) -> None:
    """Let this process die, with nothing cleaned up, in place of its step of this number."""
    left = iter(range(number, 0, -1))

    def deadly(step: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:  # noqa: ANN401 -- as the step's
            if next(left) == 1:
                os._exit(POWER_CUT)
            return step(*given, **named)

        return wrapped

    for name in STEPS:
        setattr(os, name, deadly(getattr(os, name)))


def has_been_cut(number: int, renewal: Callable[[Authority, Path], None], *given: Any) -> bool:  # noqa: ANN401 -- a renewal's
    """Begin a renewal in a process that dies before a step; tell whether it got so far."""

    def body() -> None:
        cut_power_before(number)
        renewal(*given)

    process = FORK.Process(target=body)
    process.start()
    process.join()
    assert process.exitcode in (0, POWER_CUT)
    return process.exitcode == POWER_CUT


@pytest.mark.parametrize("renewal", [renew, renew_in_vain])
def test_a_power_cut_at_any_step_leaves_a_valid_pair_and_the_next_renewal_works(
    tmp_path: Path, authority: Authority, renewal: Callable[[Authority, Path], None]
) -> None:
    whole, folder, cuts, broken = tmp_path / "whole", tmp_path / "identity", 0, []
    authority.enrol(whole, DEVICE)
    renew(authority, whole)  # so that there is an older pair to be removed, too

    shutil.copytree(whole, folder, symlinks=True)
    while has_been_cut(cuts + 1, renewal, authority, folder):
        cuts += 1
        found = Pairs(folder).valid
        renew(authority, folder)
        after = Pairs(folder).valid
        if not (found and found.is_sound and after and after.number > found.number):
            broken.append((cuts, found, after))
        shutil.rmtree(folder)
        shutil.copytree(whole, folder, symlinks=True)

    assert broken == []
    assert cuts > 20


def test_of_all_that_power_cuts_have_left_only_two_pairs_remain(tmp_path: Path, authority: Authority) -> None:
    folder = tmp_path / "identity"
    authority.enrol(folder, DEVICE)
    for number in range(1, 20):
        has_been_cut(number, renew, authority, folder)

    renew(authority, folder)

    assert len(list((folder / "pairs").iterdir())) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["current", "pairs"]
