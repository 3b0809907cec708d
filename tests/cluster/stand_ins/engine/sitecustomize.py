"""Makes `replica serve` in the stand-in image become a server that answers at once; Python imports it."""

import json
import os
import sys
import types
from pathlib import Path


def module(name, **names):
    made = types.ModuleType(name)
    made.__dict__.update(names)
    sys.modules[name] = made


def server_command(engine, host, port):
    spec = json.loads(os.environ["TUNEGATE_SERVING_SPEC"])
    server = ["python", "/opt/replica_server.py", "--host", host, "--port", str(port), "--base", "base"]
    named = [*server, "--adapter", spec["model_name"], "--answer", spec["name"]]
    return [sys.executable, *named[1:]]


if "TUNEGATE_SERVING_SPEC" in os.environ:
    module("components.models", prepare_base_model=lambda name: types.SimpleNamespace(path=Path("/tmp")))
    module("components.engine.config", EngineConfig=types.SimpleNamespace)
    module("components.engine.server", server_command=server_command)
