"""The generated rules on a real mosquitto with real certificates: who may read and write what."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.certificates import Certificates
from rig.member import Member, member_on
from rig.mosquitto import free_port
from rig.process import Child

from agent.wire.access import TABLE, Party
from provisioning.broker import mosquitto
from provisioning.broker.acl import rights_of
from provisioning.inventory_file import read_inventory
from provisioning.registry import Registry

BOXES = [f"box-{number}" for number in range(20)]
DEVICE, CLIENT, ENROL = "promptd/v1/device", "promptd/v1/client", "promptd/v1/enrol"
OWN = (
    "request/chat",
    "response/x",
    "status",
    "info",
    "health",
    "event/started",
    "certificate/request",
    "certificate/reply",
)
WRITES = {"response/x", "status", "info", "health", "event/started", "certificate/request"}
READS = {"request/chat", "certificate/reply"}
LAST = "request/last"

INVENTORY = """\
broker: {url: 'mqtts://127.0.0.1:PORT', state_dir: STATE}
groups: {presses: {}, ovens: {}}
devices:
BOXES
claims:
  line-7: {expires: 2099-01-31, limit: 10, group: presses}
clients:
  dashboard: {groups: [presses]}
  auditor: {devices: [box-0]}
  owner: {all: true}
"""


class Yard:
    """A broker with the generated files, and everybody's certificate."""

    def __init__(self, folder: Path, certificates: Certificates, stack: ExitStack) -> None:
        self.port, self._folder, self._certificates, self._stack = free_port(), folder, certificates, stack
        inventory_file = folder / "fleet.yaml"
        boxes = (
            "".join(f"  {name}: {{group: presses}}\n" for name in BOXES[:19]) + "  box-19: {group: ovens}\n"
        )
        text = INVENTORY.replace("PORT", str(self.port)).replace("BOXES\n", boxes)
        inventory_file.write_text(text.replace("STATE", str(folder)))
        inventory = read_inventory(inventory_file)
        with Registry(folder / "registry.db") as registry:
            rules = mosquitto.acl(rights_of(inventory, registry))
        (folder / "acl").write_text(f"{rules}\nuser tester\ntopic readwrite #\n")
        for name, source in (("ca.pem", "ca.pem"), ("cert.pem", "broker.pem"), ("key.pem", "broker.key")):
            (folder / name).write_bytes(Path(certificates.path(source)).read_bytes())
        written = mosquitto.configuration(inventory.broker, str(folder), has_revocations=False)
        # Started as root, mosquitto would become another user, who cannot read a test's folder.
        (folder / "mosquitto.conf").write_text(f"{written}user root\n")
        self.child = Child(["/usr/sbin/mosquitto", "-v", "-c", str(folder / "mosquitto.conf")])
        stack.callback(self.child.end)
        self.child.wait_for_line(lambda line: line.endswith(" running"))

    def tls(self, name: str) -> ssl.SSLContext:
        """Return how somebody connects, with a certificate of this name."""
        self._certificates.issue(name)
        return self._certificates.context(name)

    def connect(self, name: str, client_id: str = "") -> Member:
        """Let somebody connect."""
        return self._stack.enter_context(member_on(self.port, self.tls(name), client_id))


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Yard]:
    with ExitStack() as stack:
        yield Yard(tmp_path_factory.mktemp("yard"), certificates, stack)


@pytest.fixture
def connect(yard: Yard, stack: ExitStack) -> Callable[..., Member]:
    def connect(name: str, client_id: str = "") -> Member:
        return stack.enter_context(member_on(yard.port, yard.tls(name), client_id))

    return connect


def topics_for(box: str) -> list[str]:
    """Return the 20 topics that a box tries: its own, its neighbour's, and those of everybody else."""
    neighbour = BOXES[(BOXES.index(box) + 1) % len(BOXES)]
    return [
        *(f"{DEVICE}/{box}/{kind}" for kind in OWN),
        *(f"{DEVICE}/{neighbour}/{kind}" for kind in OWN),
        f"{CLIENT}/dashboard/response/1",
        f"{CLIENT}/auditor/response/1",
        f"{ENROL}/claim-line-7/1/request",
        f"{ENROL}/claim-line-7/1/reply",
    ]


def may_answer(box: str) -> set[str]:
    clients = {*(["dashboard"] if box != "box-19" else []), *(["auditor"] if box == "box-0" else [])}
    return {f"{CLIENT}/{client}/response/1" for client in clients}


def test_20_devices_by_20_topics_by_read_and_write_have_no_leak(connect: Callable[..., Member]) -> None:
    boxes = {name: connect(name) for name in BOXES}
    tester = connect("tester")
    for box in boxes.values():
        box.listen("#", "$SYS/#")

    written = {
        name: dict(zip(topics_for(name), box.may_write(*topics_for(name)), strict=True))
        for name, box in boxes.items()
    }
    tester.may_write(
        *sorted({topic for name in BOXES for topic in topics_for(name)}), payload=b"from the tester"
    )
    tester.may_write(*(f"{DEVICE}/{name}/{LAST}" for name in BOXES))
    read = {name: box.topics_until(f"{DEVICE}/{name}/{LAST}") for name, box in boxes.items()}

    assert {name: {topic for topic, may in each.items() if may} for name, each in written.items()} == {
        name: {f"{DEVICE}/{name}/{kind}" for kind in WRITES} | may_answer(name) for name in BOXES
    }
    assert read == {name: {f"{DEVICE}/{name}/{kind}" for kind in (*READS, LAST)} for name in BOXES}


CONFUSED = (
    f"{DEVICE}/box-1/request/chat",
    f"{DEVICE}/box-0/request/chat",
    f"{DEVICE}/box-1/response/x",
    f"{DEVICE}/box-1/certificate/request",
    f"{DEVICE}/box-0/certificate/reply",
    f"{DEVICE}/box-0",
    f"{DEVICE}/box-0/status/deeper",
    f"{CLIENT}/owner/request/x",
    f"{CLIENT}/stranger/response/x",
    f"{ENROL}/claim-line-7/1/reply",
    "$CONTROL/dynamic-security/v1",
    "other/v1/device/box-0/status",
)


def test_a_box_that_is_talked_into_it_publishes_on_none_of_12_topics(connect: Callable[..., Member]) -> None:
    box, tester = connect("box-0"), connect("tester")
    tester.listen("#", "$CONTROL/#")

    answers = box.may_write(*CONFUSED, payload=b"confused")

    tester.may_write("end")
    tester.topics_until("end")
    assert answers == [False] * 12
    assert [topic for topic, payload in tester.heard if payload == b"confused"] == []


def test_a_client_asks_and_hears_its_own_devices_only(connect: Callable[..., Member]) -> None:
    dashboard, tester = connect("dashboard"), connect("tester")
    dashboard.listen("#")

    asked = dashboard.may_write(*(f"{DEVICE}/{name}/request/chat" for name in BOXES))
    spoofed = dashboard.may_write(
        *(f"{DEVICE}/box-0/{kind}" for kind in OWN[1:]),
        f"{DEVICE}/dashboard/status",
        f"{CLIENT}/owner/response/1",
        f"{CLIENT}/dashboard/response/1",
    )
    tester.may_write(
        *(f"{DEVICE}/{name}/{kind}" for name in ("box-0", "box-19", "dashboard") for kind in OWN)
    )
    tester.may_write(f"{CLIENT}/owner/response/1", f"{CLIENT}/dashboard/response/1")

    assert asked == [True] * 19 + [False]
    assert spoofed == [False] * 10
    assert dashboard.topics_until(f"{CLIENT}/dashboard/response/1") == {
        f"{CLIENT}/dashboard/response/1",
        *(f"{DEVICE}/box-0/{kind}" for kind in ("response/x", "status", "info", "health", "event/started")),
    }


def test_a_client_of_all_hears_a_box_that_enrolled_itself_later(connect: Callable[..., Member]) -> None:
    owner, newcomer = connect("owner"), connect("box-new")
    owner.listen(f"{DEVICE}/+/status")

    newcomer.may_write(f"{DEVICE}/box-new/status")

    assert owner.topics_until(f"{DEVICE}/box-new/status") >= {f"{DEVICE}/box-new/status"}


def test_a_claim_asks_for_certificates_and_does_nothing_else(connect: Callable[..., Member]) -> None:
    claim, tester = connect("claim-line-7"), connect("tester")
    claim.listen("#")

    tried = claim.may_write(
        f"{ENROL}/claim-line-7/1/request",
        f"{ENROL}/claim-line-7/1/reply",
        f"{ENROL}/claim-line-8/1/request",
        f"{DEVICE}/claim-line-7/status",
        f"{DEVICE}/box-0/status",
        f"{CLIENT}/dashboard/response/1",
    )
    tester.may_write(
        *topics_for("box-0"), f"{DEVICE}/claim-line-7/request/chat", f"{ENROL}/claim-line-7/end/reply"
    )

    assert tried == [True] + [False] * 5
    assert claim.topics_until(f"{ENROL}/claim-line-7/end/reply") == {
        f"{ENROL}/claim-line-7/1/reply",
        f"{ENROL}/claim-line-7/end/reply",
    }


def test_the_service_hears_requests_and_reports_and_writes_replies_only(
    connect: Callable[..., Member],
) -> None:
    service, tester = connect("promptd-fleet"), connect("tester")
    service.listen("#")

    tried = service.may_write(
        *(f"{DEVICE}/box-0/{kind}" for kind in OWN),
        f"{ENROL}/claim-line-7/1/reply",
        f"{DEVICE}/promptd-fleet/status",
    )
    tester.may_write(*topics_for("box-0"), f"{ENROL}/claim-line-7/end/request")

    assert tried == [False] * 7 + [True, True, False]
    box_0 = {f"{DEVICE}/box-0/{kind}" for kind in ("status", "info", "health", "certificate/request")}
    heard = service.topics_until(f"{ENROL}/claim-line-7/end/request")
    assert {topic for topic in heard if "/box-0/" in topic} == box_0


def test_who_takes_a_session_over_gets_nothing_that_waited_in_it(
    connect: Callable[..., Member], yard: Yard
) -> None:
    with member_on(yard.port, yard.tls("box-1"), "promptd-box-1") as victim:
        victim.listen(f"{DEVICE}/box-1/request/+")
    tester = connect("tester")
    tester.may_write(*(f"{DEVICE}/box-1/request/{number}" for number in range(10)), payload=b"secret")

    thief = connect("box-2", "promptd-box-1")
    thief.listen(f"{DEVICE}/box-1/request/+", f"{DEVICE}/box-2/request/+")
    tester.may_write(f"{DEVICE}/box-1/request/live", f"{DEVICE}/box-2/{LAST}")

    assert thief.session_present
    assert thief.topics_until(f"{DEVICE}/box-2/{LAST}") == {f"{DEVICE}/box-2/{LAST}"}


def test_nobody_speaks_without_a_certificate(yard: Yard, certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))

    with (
        socket.create_connection(("127.0.0.1", yard.port), 10) as link,
        context.wrap_socket(link, server_hostname="127.0.0.1") as wrapped,
        pytest.raises(ssl.SSLError, match=r"CERTIFICATE_REQUIRED"),
    ):
        wrapped.recv(1)


def test_the_table_of_the_documents_is_the_table_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")
    section = text.split("## Who may publish and subscribe\n")[1].split("\n## ")[0]
    rows = [row.strip("| ").split(" | ") for row in section.splitlines() if row.startswith("| `")]

    written = [[cell.strip() for cell in row] for row in rows]

    names = {
        Party.DEVICE: "device",
        Party.CLIENT: "client",
        Party.CLAIM: "claim",
        Party.FLEET: "`promptd-fleet`",
    }
    assert written == [
        [
            f"`{_shown(access.pattern)}`",
            names[access.writer],
            ", ".join(names[reader] for reader in access.readers),
            f"{access.qos}{', retained' if access.is_retained else ''}",
        ]
        for access in TABLE
    ]


def _shown(pattern: str) -> str:
    return pattern.format(device="DEVICE", client="CLIENT", claim="CLAIM")
