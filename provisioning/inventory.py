"""What the fleet shall be: the models behind `fleet.yaml`. `inventory_file.py` reads it, line by line.

Names of devices, claims and clients are MQTT user names, topic levels and names of folders at once, so one
rule holds for all of them.
"""

import datetime as dt
import re
import string
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from agent.settings import BrokerSettings
from agent.wire.access import CLAIM_PREFIX, FLEET_USER
from agent.wire.certificates import MAX_SERIAL_CHARACTERS
from provisioning.authority.settings import AuthoritySettings

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
"""An identifier of the wire contract that is no hidden file and no option of a command either."""
BROKER_NAME = "promptd-broker"
"""The common name of the broker's certificate; its host names stand beside it."""
TAKEN = (FLEET_USER, BROKER_NAME)
NAMED_BY_SERIAL = "{serial}"
NEVER_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
CLOCK = re.compile(r"^([01]\d|2[0-3]):[0-5]\d$")


def is_name(text: str) -> bool:
    """Tell whether a device, claim or client may be called so."""
    return NAME.fullmatch(text) is not None


def _checked_name(text: str) -> str:
    if not is_name(text):
        raise ValueError("must be 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter or digit")
    if text.startswith(CLAIM_PREFIX) or text in TAKEN:
        raise ValueError(
            f"must not begin with {CLAIM_PREFIX!r} or be one of {', '.join(TAKEN)}; choose another"
        )
    return text


def _checked_address(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z0-9_\[][A-Za-z0-9_.:@%\[\]-]*", text):
        raise ValueError("must look like root@10.0.0.17 or box-17.plant.example")
    return text


def _checked_naming(text: str) -> str:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
    except ValueError:
        fields = []
    if fields != ["serial"] or not is_name(text.replace(NAMED_BY_SERIAL, "0")):
        raise ValueError(
            "must hold {serial} once and otherwise letters, digits, '_', '.', '-', as in box-{serial}"
        )
    return text


def _checked_host(text: str) -> str:
    try:
        ip_address(text)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text):
            raise ValueError("must be a host name or an address, without scheme and port") from None
    return text


def _checked_time(text: str) -> str:
    if not CLOCK.fullmatch(text):
        raise ValueError("must be a time of day in quotes, such as '02:30'")
    return text


Name = Annotated[str, AfterValidator(_checked_name)]
Address = Annotated[str, AfterValidator(_checked_address)]
Host = Annotated[str, AfterValidator(_checked_host)]
TimeOfDay = Annotated[str, AfterValidator(_checked_time)]
Serial = Annotated[str, Field(max_length=MAX_SERIAL_CHARACTERS)]
SettingsTable = dict[str, Any]
"""Settings of the agent, as in promptd.toml; `device_settings.py` checks them."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FleetBroker(_Part):
    """The broker: where devices find it, and what is written for it."""

    url: str
    """What devices connect to."""
    root: str = "promptd"
    kind: Literal["mosquitto", "emqx", "hivemq"] = "mosquitto"
    listen: int = Field(default=0, ge=0, le=65535)
    """Port of its own listener, where a proxy or NAT stands between; 0: that of the URL."""
    names: tuple[Host, ...] = ()
    """Every host name and address that its certificate is made for, besides that of the URL."""
    address: Address = ""
    """Its machine by SSH; empty: this machine."""
    folder: str = ""
    """Where its files are brought to on that machine; empty: nowhere, they stay in the fleet's folder."""
    owner: str = "mosquitto"
    """The user who reads them there."""
    state_dir: str = "/var/lib/mosquitto"
    """Where it keeps sessions and queued prompts."""
    reload: str = "systemctl restart mosquitto"
    """What makes it read the files that were brought to its folder; empty: nothing. No reload: mosquitto then
    says goodbye to clients that are away, a second time, which breaks its list of their sessions in 2.0.11
    (mosquitto issue 1521): it has thrown living clients out, and crashed."""
    ca_file: str = ""
    """Whom devices trust as its authority (PEM), where that is not the authority of this fleet."""

    @model_validator(mode="after")
    def _as_the_agent_takes_it(self) -> Self:
        BrokerSettings(url=self.url, root=self.root)
        if urlsplit(self.url).scheme not in ("mqtts", "wss"):
            raise ValueError("url must begin with mqtts:// (or wss://): certificates are shown only over TLS")
        return self

    @property
    def host(self) -> str:
        """Host name or address in the URL."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port of its listener."""
        return self.listen or BrokerSettings(url=self.url).port

    @property
    def every_name(self) -> tuple[str, ...]:
        """What its certificate is made for, the host of the URL first."""
        return tuple(dict.fromkeys((self.host, *self.names)))


class Group(_Part):
    """Devices that are set alike."""

    settings: SettingsTable = {}


class FleetDevice(_Part):
    """One box that is known by name beforehand."""

    serial: Serial = ""
    """What the box says it is; with it the box may enrol itself, and no other box under its name."""
    group: str = ""
    address: Address = ""
    """By SSH; empty: `apply` makes a bundle that is carried there by hand."""
    settings: SettingsTable = {}


class Claim(_Part):
    """A batch of boxes that enrol themselves with one claim certificate."""

    expires: dt.date
    """The last day, UTC, on which a box may enrol."""
    limit: int = Field(ge=1, le=100_000)
    """Boxes, ever."""
    name: Annotated[str, AfterValidator(_checked_naming)] = "box-{serial}"
    """What a box is called that no device entry names."""
    group: str = ""
    needs: Literal["serial", "token", "both"] = "both"
    """What a box must show: a serial that a device entry lists, a one-time token, or both."""

    @property
    def expires_at(self) -> dt.datetime:
        """The first moment at which the claim is over."""
        return dt.datetime.combine(self.expires + dt.timedelta(days=1), dt.time(), dt.UTC)

    def lets_in(self, device: FleetDevice, now_s: float) -> bool:
        """Tell whether this device could show at that time what the claim needs."""
        return self.expires_at.timestamp() > now_s and (bool(device.serial) or self.needs == "token")

    def device_name(self, serial: str) -> str:
        """Return what a box with this serial is called; the caller checks that nobody else is."""
        return self.name.replace(NAMED_BY_SERIAL, NEVER_IN_A_NAME.sub("-", serial))


class Client(_Part):
    """A requester."""

    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    all: bool = False
    """Whom it may ask and hear; `all` also counts those who enrol later."""


class Window(_Part):
    """When the fleet may be worked on."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...]
    begin: TimeOfDay
    end: TimeOfDay
    """Before `begin`: on the next day."""
    zone: str = "UTC"


class Wave(_Part):
    """Who is changed together; the next wave comes after it has gone well."""

    groups: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    share: float = Field(default=1.0, gt=0, le=1, strict=False)
    """Of these devices."""
    wait_h: float = Field(default=24, ge=0, strict=False)
    """Before the next wave begins."""


class Schedule(_Part):
    """When and in what order changes come; kept for roll-outs."""

    windows: dict[Name, Window] = {}
    waves: tuple[Wave, ...] = ()


class Ssh(_Part):
    """How devices with an address are reached."""

    installs: bool = True
    """Whether `apply` sets them up; false: something else does, such as Ansible, and a claim lets them in."""
    command: str = "ssh"
    """The program, with options of its own; it is called like ssh."""
    options: tuple[str, ...] = ("BatchMode=yes", "ConnectTimeout=10")
    """Each becomes `-o OPTION`."""
    sudo: str = ""
    """What makes a command root there, such as `sudo -n`; empty: the user of the address is root."""
    parallel: int = Field(default=8, ge=1, le=100)
    """Devices that are worked on at once."""
    timeout_s: float = Field(default=600, gt=0, strict=False)
    """For one command."""


class Inventory(_Part):
    """The whole fleet."""

    broker: FleetBroker
    authority: AuthoritySettings = AuthoritySettings()
    settings: SettingsTable = {}
    """For every device; those of its group and its own win over them, key by key."""
    groups: dict[Name, Group] = {}
    devices: dict[Name, FleetDevice] = {}
    claims: dict[Name, Claim] = {}
    clients: dict[Name, Client] = {}
    schedule: Schedule = Schedule()
    ssh: Ssh = Ssh()

    def device_by_serial(self, serial: str) -> str:
        """Return the name of the device that is listed with this serial; empty when none is."""
        found = (name for name, device in self.devices.items() if serial and device.serial == serial)
        return next(found, "")

    def claim_for(self, device: str, now_s: float) -> str:
        """Return the claim by which a device can enrol, one of its group first; empty when there is none."""
        entry = self.devices[device]
        fitting = [name for name, claim in self.claims.items() if claim.lets_in(entry, now_s)]
        own_group = [name for name in fitting if self.claims[name].group == entry.group]
        return next(iter((*own_group, *fitting)), "")

    def is_free(self, name: str) -> bool:
        """Tell whether a box that enrols itself may be called so: a fit name, of nobody in this file."""
        is_taken = name in self.clients or name in TAKEN or name.startswith(CLAIM_PREFIX)
        return is_name(name) and not is_taken

    def askers(self, device: str, group: str) -> tuple[str, ...]:
        """Return the clients that may ask a device of this group, by name."""
        return tuple(
            sorted(
                name
                for name, client in self.clients.items()
                if client.all or device in client.devices or (group and group in client.groups)
            )
        )


def claim_user(claim: str) -> str:
    """Return the MQTT user, and common name, of a claim."""
    return f"{CLAIM_PREFIX}{claim}"
