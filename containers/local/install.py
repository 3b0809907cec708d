"""Set Tunegate up on this machine: check it, choose CPU or GPU, install the pinned packages into .venv.

    python3 containers/local/install.py [--device cpu|cuda]

Needs Python 3.11 and nothing else; `make setup` runs it. What it found is written to `settings.env`
in the state directory (`TUNEGATE_HOME`, by default `.tunegate`), where every stage reads it.
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

UV = "uv==0.13.9"
ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
HOME = Path(os.environ.get("TUNEGATE_HOME", ROOT / ".tunegate"))
# pip's settings that uv does not read itself; both name where packages are, not which.
HANDED_ON = {"find-links": "UV_FIND_LINKS", "index-url": "UV_DEFAULT_INDEX"}


def missing(device: str) -> list[str]:
    """Return what pip cannot bring and this machine lacks, each with the Debian package that holds it."""
    problems = []
    if sys.version_info[:2] != (3, 11):
        problems.append(f"Python 3.11: this is {sys.version.split()[0]}; apt-get install python3.11-venv")
    if device == "cpu" and not _loads("libnuma.so.1"):
        problems.append("libnuma.so.1, which vLLM's CPU build loads: apt-get install libnuma1")
    if shutil.which("g++") is None:
        problems.append("g++, which torch compiles kernels with: apt-get install g++")
    return problems


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def found_gpus() -> int:
    """Return how many GPUs NVIDIA's driver lists."""
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if not listed.returncode else 0


def package_sources(python: Path) -> dict[str, str]:
    """Return the environment that tells uv what pip is configured with."""
    environment = dict(os.environ)
    for setting, variable in HANDED_ON.items():
        for scope in ("global", "install", ":env:"):
            ask = [python, "-m", "pip", "config", "get", f"{scope}.{setting}"]
            asked = subprocess.run(ask, capture_output=True, text=True)
            if asked.returncode == 0 and variable not in environment:
                environment[variable] = asked.stdout.strip()
    return environment


def install(device: str) -> None:
    """Make the virtual environment and install the pinned packages and Tunegate itself."""
    python = VENV / "bin" / "python"
    if not python.is_file():
        venv.create(VENV, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, UV], check=True)
    kind = "gpu" if device == "cuda" else "cpu"
    local = ROOT / "containers" / "local"
    files = ["--requirements", local / f"requirements-{kind}.txt"]
    for overrides in (local / "overrides.txt", *local.glob(f"overrides-{kind}.txt")):
        files += ["--overrides", overrides]
    uv = [VENV / "bin" / "uv", "pip", "install", "--quiet", "--python", python]
    environment = package_sources(python)
    subprocess.run([*uv, *files], env=environment, cwd=ROOT, check=True)
    # Without build isolation, so that this works with no package index at hand.
    tunegate = ["--no-deps", "--no-build-isolation", "--editable", ROOT]
    subprocess.run([*uv, *tunegate], env=environment, check=True)


def main() -> int:
    """Check, choose, install; 1 if the machine lacks something."""
    parser = argparse.ArgumentParser(description="Set Tunegate up on this machine.")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: what this machine has")
    gpus = found_gpus()
    device = parser.parse_args().device or ("cuda" if gpus else "cpu")
    problems = missing(device)
    if problems:
        print("This machine lacks:", *(f"  - {problem}" for problem in problems), sep="\n", file=sys.stderr)
        return 1
    print(f"Installing for {device} into {VENV} ...", flush=True)
    install(device)
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)  # its settings may have a key in them
    found = f"TUNEGATE_DEVICE={device}\nTUNEGATE_GPUS={max(1, gpus)}\n"
    unfinished = HOME / f".settings.env.{os.getpid()}.unfinished"
    unfinished.write_text(found, encoding="utf-8")
    unfinished.replace(HOME / "settings.env")  # whole or not at all: every command reads it
    print(f"Ready: {VENV / 'bin' / 'tunegate'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
