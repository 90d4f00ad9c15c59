"""The short form: every fault a few times, and the demands of the long form."""

from pathlib import Path

from chaos import bad_models, hosts, kills, links, power, protocol, rotations, soak, watchdog, workers, writes
from chaos.cases import QUICK


def test_a_killed_agent_loses_no_prompt_and_changes_no_answer(tmp_path: Path) -> None:
    finding = kills.agent_kills(tmp_path, 4)

    assert finding.complaints == ()


def test_an_agent_that_dies_at_any_step_of_a_prompt_loses_none(tmp_path: Path) -> None:
    finding = kills.crash_points(tmp_path, 12)

    assert finding.complaints == ()


def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    tally, complaints = power.cut(tmp_path, 150, "full")

    assert (tally.lost, complaints) == (0, ())


def test_a_restarted_broker_loses_no_prompt(tmp_path: Path) -> None:
    finding = links.broker_restarts(tmp_path, 2)

    assert finding.complaints == ()


def test_what_a_killed_broker_forgets_is_covered_by_repeated_requests(tmp_path: Path) -> None:
    finding = links.broker_kills(tmp_path, 2)

    assert finding.complaints == ()


def test_a_bad_link_loses_no_prompt_and_is_back_soon(tmp_path: Path) -> None:
    finding = links.bad_links(tmp_path, 4)

    assert finding.complaints == ()


def test_a_full_disk_is_told_and_ends_nothing(tmp_path: Path) -> None:
    finding = hosts.full_disk(tmp_path, 2)

    assert finding.complaints == ()


def test_a_link_that_comes_and_goes_loses_no_prompt(tmp_path: Path) -> None:
    finding = links.offline_shapes(tmp_path, 4)

    assert finding.complaints == ()


def test_a_write_that_fails_is_told_and_ends_nothing(tmp_path: Path) -> None:
    finding = writes.failing_writes(tmp_path, 4)

    assert finding.complaints == ()


def test_a_worker_that_ends_in_whatever_way_is_told_and_replaced(tmp_path: Path) -> None:
    finding = workers.worker_deaths(tmp_path, len(workers.ENDS))

    assert finding.complaints == ()


def test_a_prompt_that_kills_the_engine_ends_after_three_attempts_and_harms_no_neighbour(
    tmp_path: Path,
) -> None:
    finding = kills.poison(tmp_path, 1)

    assert finding.complaints == ()


def test_a_broker_that_breaks_the_rules_does_not_end_the_agent(tmp_path: Path) -> None:
    finding = protocol.protocol_faults(tmp_path, len(QUICK))

    assert finding.complaints == ()


def test_a_restart_of_the_agent_is_quick_and_loses_nothing(tmp_path: Path) -> None:
    finding = hosts.starts_and_stops(tmp_path, 2)

    assert finding.complaints == ()


def test_a_clock_that_jumps_expires_nothing(tmp_path: Path) -> None:
    finding = hosts.clock_jumps(tmp_path, 2)

    assert finding.complaints == ()


def test_two_agents_with_one_id_lose_nothing(tmp_path: Path) -> None:
    finding = links.two_agents(tmp_path, 5)

    assert finding.complaints == ()


def test_an_agent_with_a_thread_that_stands_still_stops_feeding_its_watchdog(
    tmp_path: Path,
) -> None:
    finding = watchdog.watchdog(tmp_path, 3)

    assert finding.complaints == ()


def test_a_model_that_is_not_what_its_manifest_says_serves_nobody(tmp_path: Path) -> None:
    finding = bad_models.bad_models(tmp_path, 10)

    assert finding.complaints == ()


def test_steady_load_with_kills_and_restarts_loses_nothing_and_lets_nothing_grow(tmp_path: Path) -> None:
    finding, _ = soak.soak(tmp_path, 20 / 60)

    assert finding.complaints == ()


def test_a_certificate_changes_under_load_and_no_prompt_is_lost(tmp_path: Path) -> None:
    finding = rotations.rotations(tmp_path, 3)

    assert finding.unmet == ()
