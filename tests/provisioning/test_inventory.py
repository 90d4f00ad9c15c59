"""The inventory: what may stand in it, and that every mistake comes as one line with its place."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.settings_file import load
from agent.wire.errors import ConfigError
from provisioning.device_settings import settings_of, toml
from provisioning.example import EXAMPLE
from provisioning.inventory import Inventory
from provisioning.inventory_file import InventoryError, read_inventory

Read = Callable[[str], Inventory]
Refuse = Callable[[str], list[str]]

WHOLE = """\
broker:
  url: mqtts://broker.example
settings:
  telemetry: {interval_s: 10}
groups:
  presses:
    settings:
      engine: {model: phi-3-mini}
      telemetry: {interval_s: 5}
devices:
  box-1: {serial: A1, group: presses}
  box-2:
    serial: A2
    group: presses
    settings:
      telemetry: {interval_s: 1}
      broker: {keepalive_s: 30}
claims:
  line-7: {expires: 2027-01-31, limit: 10}
clients:
  dashboard: {groups: [presses]}
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str) -> Inventory:
        file = tmp_path / "fleet.yaml"
        file.write_text(text)
        return read_inventory(file)

    return read


@pytest.fixture
def refuse(read: Read) -> Refuse:
    def refuse(text: str) -> list[str]:
        with pytest.raises(InventoryError) as caught:
            read(text)
        return str(caught.value).splitlines()

    return refuse


def test_the_example_that_init_writes_is_right(read: Read) -> None:
    inventory = read(EXAMPLE)

    assert inventory.devices.keys() >= {"box-1"}


def test_a_device_is_told_what_fleet_group_and_itself_say_the_nearest_winning(read: Read) -> None:
    inventory = read(WHOLE)

    first, second = (settings_of(inventory, name) for name in ("box-1", "box-2"))

    assert (first["telemetry"], second["telemetry"]) == ({"interval_s": 5}, {"interval_s": 1})
    assert second["broker"] == {"url": "mqtts://broker.example", "root": "promptd", "keepalive_s": 30}
    assert (second["device_id"], second["engine"]) == ("box-2", {"model": "phi-3-mini"})


def test_the_agent_reads_what_is_written_for_it(read: Read, tmp_path: Path) -> None:
    table = settings_of(read(WHOLE), "box-2")
    file = tmp_path / "promptd.toml"

    file.write_text(toml(table))

    settings = load(file)
    assert (settings.device_id, settings.engine.model) == ("box-2", "phi-3-mini")
    assert (settings.broker.url, settings.broker.keepalive_s) == ("mqtts://broker.example", 30)


@pytest.mark.parametrize("value", ['say "hi"', "back\\slash", "two\nlines", "\x00\x1f\x7f", "Prüfstand 🏭"])
def test_every_text_survives_the_way_through_toml(value: str) -> None:
    written = toml({"engine": {"model": value, "list": (1, True, 0.5, value)}})

    assert tomllib.loads(written) == {"engine": {"model": value, "list": [1, True, 0.5, value]}}


def test_the_variables_of_the_operator_change_nothing(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTD_TELEMETRY__INTERVAL_S", "-1")

    inventory = read(WHOLE)

    assert inventory.devices["box-1"].serial == "A1"


def test_all_mistakes_come_at_once_in_the_order_of_their_lines(refuse: Refuse) -> None:
    lines = refuse(
        "broker:\n  url: mqtt://broker.example\n"
        "devices:\n"
        "  box-1: {serial: A1, group: presess}\n"
        "  box-2: {seriel: A1}\n"
        "  box-3: {serial: A1}\n"
        "  box-4: {serial: 0042}\n"
        "groups:\n  presses: {}\n"
    )

    assert [line.split(": ")[0] for line in lines] == [f"fleet.yaml:{number}" for number in (1, 4, 5, 6, 7)]
    assert lines[1] == "fleet.yaml:4: devices.box-1.group: there is no group 'presess'; did you mean presses?"
    assert lines[2] == "fleet.yaml:5: devices.box-2.seriel: unknown key; did you mean serial?"
    assert lines[3].startswith("fleet.yaml:6: devices.box-3.serial: is also the serial of box-1; ")
    assert lines[4] == "fleet.yaml:7: devices.box-4.serial: must be text; put it in quotes"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("broker: {url: 'mqtt://x'}", "fleet.yaml:1: broker: url must begin with mqtts://"),
        ("devices: {}", "broker: is missing"),
        ("- a", "must be a table"),
        ("", "broker: is missing"),
        ("broker: [", "fleet.yaml:1: not valid YAML"),
        (
            "broker: {url: 'mqtts://x'}\nbrokers: {}",
            "fleet.yaml:2: brokers: unknown key; did you mean broker?",
        ),
        ("broker: {url: 'mqtts://x', root: $SYS}", "not starting with '$'"),
        ("broker: {url: 'mqtts://x', names: ['a b']}", "host name or an address"),
    ],
)
def test_a_mistake_at_the_top_says_what_to_do(refuse: Refuse, text: str, words: str) -> None:
    lines = refuse(text)

    assert any(words in line for line in lines), lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("devices:\n  a: {}\n  a: {}", ":4: devices.a (again): stands in line 3 already; keep one"),
        ("devices:\n  17: {}", ":3: devices.17: a name must be text; put it in quotes"),
        ("devices:\n  ../x: {}", ":3: devices.../x: must be 1 to 64 letters"),
        ("devices:\n  -x: {}", ":3: devices.-x: must be 1 to 64 letters"),
        ("devices:\n  claim-x: {}", ":3: devices.claim-x: must not begin with 'claim-'"),
        ("clients:\n  promptd-fleet: {}", "be one of promptd-fleet, promptd-broker"),
        ("devices:\n  a: {}\nclients:\n  a: {}", ":5: clients.a: is also the name of a device"),
        ("devices:\n  a: {address: '-oProxyCommand=x'}", ":3: devices.a.address: must look like root@"),
        (
            "devices:\n  a: {settings: {enigne: {}}}",
            "settings.enigne: the agent has no such setting; did you mean engine",
        ),
        (
            "devices:\n  a:\n    settings:\n      engine:\n        slots: 0",
            ":6: devices.a.settings.engine.slots: ",
        ),
        ("settings: {state_dir: /x}", "settings.state_dir: must not be set here: the certificate"),
        ("settings: {identity: {folder: /x}}", "settings.identity.folder: must not be set here"),
        ("settings: {broker: {password_file: null}}", "password_file: must have a value; leave the line out"),
        ("settings: {telemetry: {interval_s: .inf}}", "interval_s: must be a finite number"),
        ("devices:\n  a: {settings: {device_id: b}}", "device_id: must not be set here: it is the name"),
        ("settings: {broker: {url: x}}", "settings.broker.url: must not be set here: it is broker.url"),
        ("groups:\n  g: {settings: {queue: {capacity: 0}}}", ":3: groups.g.settings.queue.capacity"),
        ("claims:\n  c: {limit: 3}", ":3: claims.c.expires: is missing"),
        ("claims:\n  c: {limit: 0, expires: 2027-01-01}", "claims.c.limit"),
        ("claims:\n  c: {limit: 1, expires: 2027-01-01, name: box}", "must hold {serial} once"),
        ("claims:\n  c: {limit: 1, expires: 2027-01-01, name: '{serial.x}'}", "must hold {serial} once"),
        ("claims:\n  c: {limit: 1, expires: 2027-13-01}", "put text in quotes"),
        ("clients:\n  d: {devices: [box-9]}", "there is no device 'box-9'; write it under devices"),
        ("schedule: {waves: [{groups: [x]}]}", "schedule.waves.0.groups.0: there is no group 'x'"),
        (
            "schedule: {windows: {n: {days: [mon], begin: 2:00, end: '04:00'}}}",
            "windows.n.begin: must be text",
        ),
        ("schedule: {windows: {n: {days: [mon], begin: '02:00', end: '04:00', zone: Mars}}}", "no time zone"),
        ("devices: &a {box: *a}", "an alias holds itself"),
    ],
)
def test_a_mistake_is_named_with_its_line(refuse: Refuse, text: str, words: str) -> None:
    lines = refuse(f"broker: {{url: 'mqtts://broker.example'}}\n{text}\n")

    assert any(words in line for line in lines), lines


def test_a_fault_of_a_group_is_told_once_and_not_for_every_device(refuse: Refuse) -> None:
    boxes = "".join(f"  box-{number}: {{group: g}}\n" for number in range(5))

    lines = refuse(
        "broker: {url: 'mqtts://x'}\n"
        f"groups:\n  g: {{settings: {{engine: {{slots: 0}}}}}}\ndevices:\n{boxes}"
    )

    assert len(lines) == 1


@pytest.mark.parametrize(
    ("name", "is_free"),
    [("box-9", True), ("dashboard", False), ("claim-x", False), ("..", False), ("", False)],
)
def test_a_box_that_enrols_itself_takes_nobodys_name(read: Read, name: str, *, is_free: bool) -> None:
    inventory = read(WHOLE)

    assert inventory.is_free(name) is is_free


def test_a_claim_lasts_to_the_end_of_its_day_and_names_boxes_by_serial(read: Read) -> None:
    claim = read(WHOLE).claims["line-7"]

    assert claim.expires_at.isoformat() == "2027-02-01T00:00:00+00:00"
    assert claim.device_name("QX 01/é") == "box-QX-01-"


def test_a_missing_inventory_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="promptd-fleet init"):
        read_inventory(tmp_path / "fleet.yaml")
