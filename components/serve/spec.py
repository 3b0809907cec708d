"""What is served: the one description that every back end turns into running replicas."""

import hashlib
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

MAX_NAME_CHARACTERS = 40  # leaves room for what a target adds: `-router`, a replica's number


class ServingSpec(BaseModel):
    """One adapter over one base model, in so many replicas.

    Attributes:
        name: The deployment's own name, unique to its release; a DNS-1123 label.
        model_name: The name that clients ask for, the same for candidate and champion.
        base_model: A base model reference as `components.models.prepare_base_model` takes it.
        image: The adapter's image: `oci:<layout directory>@sha256:...` or `registry/name@sha256:...`.
        adapter_digest: What must come out of that image.
        lora_r: The adapter's rank; the server is started with room for it.
        replicas: Copies behind the router.
        max_model_len: Longest prompt plus completion that is served, tokens.
        tool_call_parser: vLLM's parser of calls of tools; empty: none.
    """

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    model_name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    base_model: str
    image: str
    adapter_digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    lora_r: int = Field(ge=1)
    replicas: int = Field(ge=1)
    max_model_len: int = Field(ge=1)
    tool_call_parser: str = ""

    def write(self, path: Path) -> None:
        """Write the spec as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "ServingSpec":
        """Read a spec that `write` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


def deployment_name(model_name: str, release: str) -> str:
    """Return the name of a release's deployment: readable, a DNS-1123 label, the same at every call.

    Names of more than 40 characters are shortened; a hash then keeps two releases apart.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", f"{model_name}-{release}".lower()).strip("-")
    if plain == f"{model_name}-{release}" and len(plain) <= MAX_NAME_CHARACTERS:
        return plain
    mark = hashlib.sha256(f"{model_name}/{release}".encode()).hexdigest()[:8]
    return f"{plain[: MAX_NAME_CHARACTERS - 9].rstrip('-')}-{mark}"
