"""What the fixtures of `conftest.py` hand out."""

from collections.abc import Callable

from rig.box import Box
from rig.mosquitto import Mosquitto
from rig.requester import Requester

StartBroker = Callable[..., Mosquitto]
StartBox = Callable[..., Box]
Connect = Callable[..., Requester]
