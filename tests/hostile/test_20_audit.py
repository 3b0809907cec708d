"""Item 20: what the pinned packages are audited for, and that silence of the service is no good news."""

import datetime
import importlib.util
import json
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from components.errors import InvalidInput
from tests.hostile.odd_server import Answer, odd_server

TODAY = datetime.date(2026, 11, 28)
HOLE = {"id": "GHSA-hole", "aliases": ["CVE-2026-1"], "fix_versions": ["2.0"]}
ACCEPTED = """
    [[accepted]]
    id = "{id}"
    package = "Weak_Package"
    why = "Nothing of ours calls the part that has the hole."
    until = {until}
"""


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", "containers/audit.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images that pin one package with a hole, and one without."""
    for image in ("one", "two"):
        (tmp_path / image).mkdir()
        pins = "fine==1.0\nweak-package==1.5\nelsewhere==1 ; sys_platform == 'win32'\n"
        (tmp_path / image / "requirements.txt").write_text(pins)
    (tmp_path / "audit.toml").write_text("")
    return tmp_path


def pip_audit(folder: Path, answers: list[dict[str, Any]]) -> list[str]:
    """A pip-audit that has these answers, whatever it is asked."""
    script = folder / "pip_audit.py"
    script.write_text(f"print({json.dumps(json.dumps({'dependencies': answers, 'fixes': []}))})")
    return [sys.executable, str(script)]


def answer(name: str, version: str, *holes: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": version, "vulns": list(holes)}


def ask(audit: ModuleType, images: Path, accepted: str = "") -> list[str]:
    (images / "audit.toml").write_text(textwrap.dedent(accepted))
    answers = [answer("fine", "1.0"), answer("weak-package", "1.5", HOLE)]
    problems: list[str] = audit.audit(images, pip_audit(images, answers), TODAY)
    return problems


def test_a_hole_is_told_once_with_every_image_that_has_it(audit: ModuleType, images: Path) -> None:
    assert ask(audit, images) == [
        "weak-package 1.5: GHSA-hole, CVE-2026-1; mended in 2.0 (one/requirements.txt, two/requirements.txt)"
    ]


@pytest.mark.parametrize("name", ["GHSA-hole", "CVE-2026-1"])
def test_an_accepted_hole_is_put_up_with_to_its_last_day(audit: ModuleType, images: Path, name: str) -> None:
    assert ask(audit, images, ACCEPTED.format(id=name, until="2026-11-28")) == []
    (late,) = ask(audit, images, ACCEPTED.format(id=name, until="2026-11-27"))
    assert "GHSA-hole" in late and "was put up with until 2026-11-27" in late


def test_an_acceptance_that_nothing_needs_is_told(audit: ModuleType, images: Path) -> None:
    hole, unused = ask(audit, images, ACCEPTED.format(id="GHSA-other", until="2027-01-01"))
    assert "GHSA-hole" in hole
    assert "GHSA-other was not found any more" in unused


def test_everything_wrong_with_the_accepted_findings_is_told(audit: ModuleType, images: Path) -> None:
    (images / "audit.toml").write_text(
        '[[accepted]]\nid = "X"\nwhy = "short"\nuntil = "soon"\nforever = true\n'
    )
    with pytest.raises(InvalidInput) as refused:
        audit.audit(images, pip_audit(images, []), TODAY)
    assert {problem.partition(":")[0] for problem in refused.value.problems} == {
        "accepted.0.package",
        "accepted.0.why",
        "accepted.0.until",
        "accepted.0.forever",
    }


@pytest.mark.parametrize(
    "answers",
    [
        # What pip-audit says, with an exit status of 0, where PyPI answers 404 to everything.
        pytest.param(
            [answer("fine", "1.0"), {"name": "weak-package", "skip_reason": "not found on PyPI"}],
            id="skipped",
        ),
        pytest.param([answer("fine", "1.0")], id="left out"),
    ],
)
def test_a_package_that_was_not_asked_about_is_no_clean_one(
    audit: ModuleType, images: Path, answers: list[dict[str, Any]]
) -> None:
    with pytest.raises(
        audit.NotAudited, match=r"one/requirements\.txt: .*no answer for 1 of 2.*weak-package"
    ):
        audit.audit(images, pip_audit(images, answers), TODAY)


def run(audit: ModuleType, images: Path, monkeypatch: pytest.MonkeyPatch, service: str) -> int:
    """Run it as `make audit` does, with the real pip-audit."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(images / "cache"))
    monkeypatch.setattr("sys.argv", ["audit.py", f"--folder={images}", f"--osv-url={service}"])
    status: int = audit.main()
    return status


def test_pip_audit_asks_the_service_that_is_named(
    audit: ModuleType, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}
    affected = {"package": {"name": "weak-package", "ecosystem": "PyPI"}, "ranges": [versions]}
    hole = {"id": "GHSA-hole", "aliases": ["CVE-2026-1"], "affected": [affected]}

    def respond(path: str, body: bytes) -> Answer:
        package = json.loads(body)["package"]["name"]
        return Answer(json.dumps({"vulns": [hole]} if package == "weak-package" else {}).encode())

    with odd_server(respond) as url:
        assert run(audit, images, monkeypatch, f"{url}/query") == 1
    assert "weak-package 1.5: CVE-2026-1, GHSA-hole; mended in 2.0" in capsys.readouterr().out


@pytest.mark.parametrize("status", [500])
def test_a_service_that_fails_fails_the_audit(
    audit: ModuleType,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
) -> None:
    with odd_server(lambda path, body: Answer(b"{}", status=status)) as url:
        assert run(audit, images, monkeypatch, url) == 2
    assert "could not be asked" in capsys.readouterr().err


def test_a_service_that_is_away_fails_the_audit(
    audit: ModuleType, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with odd_server(lambda path, body: Answer()) as url:
        pass
    assert run(audit, images, monkeypatch, url) == 2
    said = capsys.readouterr()
    assert "one/requirements.txt: the advisory service could not be asked" in said.err
    assert said.out == ""


def test_what_is_shipped_is_audited(audit: ModuleType) -> None:
    audit.read_accepted(Path("containers/audit.toml"))
    for dockerfile in Path("containers").glob("*/Dockerfile"):
        copied = re.findall(r"^COPY (\S+/requirements\S*\.txt) ", dockerfile.read_text(), re.M)
        assert copied, dockerfile
        for name in copied:  # requirements.txt, or requirements-${DEVICE}.txt
            found = list(Path().glob(re.sub(r"\$\{\w+\}", "*", name)))
            assert found and all(path.match("containers/*/requirements*.txt") for path in found), name


def test_neither_check_nor_ci_depends_on_it() -> None:
    makefile = Path("Makefile").read_text()
    users = re.findall(r"^(\w+):(?=[^#\n]*\baudit\b)", makefile, re.M)
    assert users == []
    assert re.search(r"^audit: .*## ", makefile, re.M)
    assert "make audit" not in Path(".ci/run").read_text()
