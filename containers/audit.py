"""Hold every pinned package of the images and of the set-up against what is publicly known of its holes.

    .venv/bin/python containers/audit.py [--osv-url URL]

pip-audit asks PyPI about each pin, or the OSV server that is named. Findings that are known and put up with
stand in audit.toml. Ends with 1 where there are others or the file is out of date, and with 2 where
something could not be asked: a service that is away has found nothing, which is no good news.
"""

import argparse
import datetime
import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.errors import InvalidInput, TunegateError
from components.web import parse_address, quoted

FOLDER = Path(__file__).resolve().parent
SERVICE_TIMEOUT_S = 15


class Accepted(BaseModel):
    """A finding that is put up with for a while.

    Attributes:
        id: One of its names: PYSEC-..., GHSA-... or CVE-...
        package: Whose hole it is.
        why: Why it does no harm here.
        until: The last day on which that holds without another look.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    package: str = Field(min_length=1)
    why: str = Field(min_length=10)
    until: datetime.date


class AcceptedFile(BaseModel):
    """All of audit.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accepted: list[Accepted] = []


@dataclass(frozen=True)
class Finding:
    """A known hole of one pinned package."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed_in: tuple[str, ...]

    def is_accepted_by(self, accepted: Accepted) -> bool:
        """Return whether it is the finding that was accepted."""
        return canonicalize_name(accepted.package) == self.package and accepted.id in self.ids

    def __str__(self) -> str:
        mended = f"mended in {', '.join(self.fixed_in)}" if self.fixed_in else "not mended yet"
        return f"{self.package} {self.version}: {', '.join(self.ids)}; {mended}"


class NotAudited(TunegateError):
    """Not everything could be asked about."""


def read_accepted(path: Path) -> list[Accepted]:
    """Read the findings that are put up with.

    Raises:
        InvalidInput: The file is not as it should be; with everything that is wrong with it.
    """
    try:
        return AcceptedFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).accepted
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors()]
        raise InvalidInput(str(path), wrong) from error
    except (OSError, ValueError) as error:
        raise InvalidInput(str(path), [f"could not be read ({error})"]) from error


def find(requirements: Path, pip_audit: Sequence[str]) -> list[Finding]:
    """Ask about every package that a file pins.

    Args:
        requirements: The file.
        pip_audit: The command; where it is to ask is a part of it.

    Raises:
        NotAudited: The service is away, or has not answered for each of them.
    """
    name = f"{requirements.parent.name}/{requirements.name}"
    options = ["--no-deps", "--disable-pip", "--format=json", "--desc=off", "--progress-spinner=off"]
    options += [f"--timeout={SERVICE_TIMEOUT_S}", f"--requirement={requirements}"]
    asked = subprocess.run([*pip_audit, *options], capture_output=True, text=True)
    try:
        answers = {
            canonicalize_name(answer["name"]): answer for answer in json.loads(asked.stdout)["dependencies"]
        }
    except (ValueError, TypeError, KeyError) as error:
        said = (asked.stderr.strip().splitlines() or ["nothing was said"])[-1]
        problem = f"the advisory service could not be asked ({quoted(said)})"
        raise NotAudited(f"{name}: {problem}; nothing is known of these packages") from error
    silent = {name for name, answer in answers.items() if "skip_reason" in answer} | (
        _pinned(requirements) - answers.keys()
    )
    if silent:
        raise NotAudited(
            f"{name}: the advisory service has no answer for {len(silent)} of "
            f"{len(answers.keys() | silent)} packages: {quoted(', '.join(sorted(silent)))}; nothing is "
            "known of them. Ask from where it can be reached, or name an OSV server: make audit OSV_URL=..."
        )
    return [
        _finding(name, answer["version"], hole)
        for name, answer in answers.items()
        for hole in answer["vulns"]
    ]


def _pinned(requirements: Path) -> set[str]:
    lines = [line.partition("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines()]
    asked = [Requirement(line) for line in lines if line]
    return {canonicalize_name(pin.name) for pin in asked if pin.marker is None or pin.marker.evaluate()}


def _finding(package: str, version: str, hole: dict[str, Any]) -> Finding:
    ids = tuple(dict.fromkeys([hole["id"], *hole["aliases"]]))
    return Finding(package, version, ids, tuple(hole["fix_versions"]))


def judge(found: dict[Finding, list[str]], accepted: Sequence[Accepted], today: datetime.date) -> list[str]:
    """Hold findings against those that are put up with.

    Args:
        found: Each finding with the files that pin its package.
        accepted: Those that are put up with.
        today: The day on which that has to hold.

    Returns:
        What is to be done, a line each; nothing if all is well.
    """
    problems = []
    for finding, files in found.items():
        known = [known for known in accepted if finding.is_accepted_by(known)]
        if not known:
            problems.append(f"{finding} ({', '.join(files)})")
        elif all(known.until < today for known in known):
            last = max(known.until for known in known)
            problems.append(f"{finding} ({', '.join(files)}); was put up with until {last}: look again")
    problems += [
        f"audit.toml: {known.package} {known.id} was not found any more; take it out"
        for known in accepted
        if not any(finding.is_accepted_by(known) for finding in found)
    ]
    return problems


def audit(folder: Path, pip_audit: Sequence[str], today: datetime.date) -> list[str]:
    """Audit every requirements file of the images below a folder and return what is to be done.

    Raises:
        InvalidInput: audit.toml is not as it should be.
        NotAudited: The service is away, or has not answered for every package.
    """
    accepted = read_accepted(folder / "audit.toml")
    found: dict[Finding, list[str]] = {}
    for requirements in sorted(folder.glob("*/requirements*.txt")):
        for finding in find(requirements, pip_audit):
            found.setdefault(finding, []).append(str(requirements.relative_to(folder)))
    return judge(found, accepted, today)


def main() -> int:
    """Audit the images' packages; 0 if nothing is to be done."""
    parser = argparse.ArgumentParser(description="Hold pinned packages against what is known of their holes.")
    parser.add_argument(
        "--osv-url", default="", help="An OSV server's query address; by default PyPI is asked."
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="Where the images' folders are.")
    arguments = parser.parse_args()
    pip_audit = [sys.executable, "-m", "pip_audit"]
    try:
        if arguments.osv_url:
            service = str(parse_address(arguments.osv_url))
            pip_audit += ["--vulnerability-service=osv", f"--osv-url={service}"]
        problems = audit(arguments.folder, pip_audit, datetime.date.today())
    except TunegateError as error:
        print(error, file=sys.stderr)
        return 2
    print(*(problems or ["No hole is known in any pinned package that audit.toml does not name."]), sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
