"""One pull, as the tests of the download start it."""

from agent.models.catalogue import BY_NAME
from agent.models.download import pull
from agent.models.manifest import Model
from agent.models.patience import Patience
from agent.models.store import Store
from models.ggufs import gguf
from models.hub import Hub

PHI = BY_NAME["phi-3-mini"]
GGUF = "Phi-3-mini-4k-instruct-q4.gguf"
FOLDER = "cuda/cuda-int4-rtn-block-32"
AT_ONCE = Patience(attempts=3, initial_s=0, max_s=0)
WEIGHTS = gguf(weights=bytes(range(256)) * 4096)


def fetch(hub: Hub, store: Store, engine: str = "gguf-cpu") -> Model:
    return pull(PHI, engine, store, endpoint=hub.endpoint, token="secret", patience=AT_ONCE)  # noqa: S106
