"""A deployment as the tests of serving describe it."""

from typing import Any

from components.serve.spec import ServingSpec


def spec_of(name: str = "pet-r1", **changes: Any) -> ServingSpec:
    values = {
        "name": name,
        "model_name": "pet",
        "base_model": "org/model",
        "image": "reg.example/pet@sha256:" + "a" * 64,
        "adapter_digest": "sha256:" + "b" * 64,
        "lora_r": 8,
        "replicas": 2,
        "max_model_len": 2048,
    }
    return ServingSpec.model_validate(values | changes)
