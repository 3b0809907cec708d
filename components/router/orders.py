"""What a router on this machine is told, by a file that only the state directory's owner writes.

The router looks at the file all the time and says in a second one, beside it, what it has put in force. No
port takes orders, so no client can give any; and a router that is started again finds its replicas there.
"""

import json
import secrets
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from components.errors import TunegateError
from components.storage import atomic_write

ROUTER_FILE = "router.json"
SWITCH_TIMEOUT_S = 30.0
_POLL_S = 0.02


@dataclass(frozen=True)
class RouterConfig:
    """A router's ports and the replicas behind it.

    Attributes:
        port: The clients'.
        prometheus_port: Of metrics and probes.
        worker_urls: The replicas: scheme, host and port of each.
        max_model_len: Longest prompt plus answer of the model, tokens.
        revision: Another one for every file that is written.
    """

    port: int
    prometheus_port: int
    worker_urls: list[str]
    max_model_len: int
    revision: str = field(default_factory=lambda: secrets.token_hex(8))

    def write(self, path: Path) -> None:
        """Write the file that the router looks at."""
        with atomic_write(path) as file:
            file.write(json.dumps(asdict(self), indent=2).encode())

    @classmethod
    def read(cls, path: Path) -> "RouterConfig":
        """Read a file that `write` wrote."""
        return cls(**json.loads(path.read_bytes()))


@dataclass(frozen=True)
class InForce:
    """What a router says that it does.

    Attributes:
        revision: Of the file that it has read last.
        worker_urls: The replicas that it asks.
        problem: Why these are not those of the file; empty if they are.
    """

    revision: str
    worker_urls: list[str]
    problem: str = ""

    def write(self, config_path: Path) -> None:
        """Write the file beside the router's own."""
        with atomic_write(_beside(config_path)) as file:
            file.write(json.dumps(asdict(self), indent=2).encode())

    @classmethod
    def read(cls, config_path: Path) -> "InForce | None":
        """Read what the router of a file has said last, if it said anything yet."""
        try:
            return cls(**json.loads(_beside(config_path).read_bytes()))
        except FileNotFoundError:
            return None


def wait_in_force(config_path: Path, timeout_s: float = SWITCH_TIMEOUT_S) -> InForce:
    """Wait until the router of a file has read it as it stands, and return what it says.

    Raises:
        TunegateError: It does not, within the time.
    """
    revision = RouterConfig.read(config_path).revision
    deadline = time.monotonic() + timeout_s
    while (said := InForce.read(config_path)) is None or said.revision != revision:
        if time.monotonic() > deadline:
            raise TunegateError(
                f"{config_path}: its router has not taken it within {timeout_s:g} s; see its log"
            )
        time.sleep(_POLL_S)
    return said


def set_workers(
    config_path: Path, wanted: list[str], max_model_len: int, timeout_s: float = SWITCH_TIMEOUT_S
) -> None:
    """Change the replicas of a running router; return when that is in force. Requests go on all the while.

    A request that an old one is working on is finished by it.

    Raises:
        TunegateError: A new one is not healthy, or the router does not answer; the old ones were left in.
    """
    before = RouterConfig.read(config_path)
    wanted_config = RouterConfig(before.port, before.prometheus_port, wanted, max_model_len)
    wanted_config.write(config_path)
    try:
        said = wait_in_force(config_path, timeout_s)
        if said.problem:
            raise TunegateError(f"router: {said.problem}; it goes on with {', '.join(said.worker_urls)}")
    except BaseException:
        replace(before, revision=secrets.token_hex(8)).write(config_path)
        raise


def command(config_path: Path) -> list[str]:
    """Return the command that runs a router on this machine out of its file."""
    return [sys.executable, "-m", "components.router.local", str(config_path)]


def _beside(config_path: Path) -> Path:
    return config_path.with_suffix(".in-force.json")
