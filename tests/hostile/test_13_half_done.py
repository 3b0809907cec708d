"""A process that dies at any step of a promotion, a roll-back or a retirement leaves nothing half-done.

Steps are taken from the code's own table. Whoever comes next settles it: traffic and alias agree, nothing
is left over, and `tunegate status` says how the release really ended.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from components.checks import Verdict, at_least
from components.errors import InvalidInput, TunegateError
from components.release import closing, leftovers, promotion, rollback, settling, traffic
from components.release.ending import OUTCOME_TAG, outcome
from components.release.leftovers import retire_left, settle_target
from components.release.promotion import refuse_candidate
from components.release.rollback import roll_back
from components.release.traffic import STEPS
from components.serve.lease import Intent, IntentKind
from components.serve.local.leases import LocalLeases
from components.serve.spec import deployment_name
from components.tracking import model_registry, runs, stage
from components.tracking.stage import open_stage
from pipelines import status
from tests.components.serve.memory_backend import MemoryBackend
from tests.hostile.dying import Death, Killed, Model
from tests.hostile.memory_mlflow import MemoryMlflow

BAD = at_least("goodput", 0.5, 0.9, "share", "half were slow")
# Whoever is killed before one of these has moved the traffic already.
AFTER_SWITCH = ("move alias", "record", "retire the former", "end the intent")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory."""
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RELEASE_ID", "none")
    return tmp_path / "home"


@pytest.fixture
def model(home: Path, tmp_path: Path) -> Iterator[Model]:
    memory, client = MemoryBackend(), MemoryMlflow()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "client", lambda: client)
        patch.setattr(stage, "client", lambda: client)
        for module in (closing, leftovers, promotion, rollback, settling, status):
            patch.setattr(module, "serving_backend", lambda target: memory)
        yield Model("pet", memory, tmp_path)


@pytest.fixture
def death() -> Iterator[Death]:
    with pytest.MonkeyPatch.context() as patch:
        yield Death(patch)


def names(model: Model) -> tuple[str, str]:
    """Return the ids of an earlier release and of one that is killed."""
    return f"{model.name}-a", f"{model.name}-b"


def cases(kind: IntentKind) -> list[Any]:
    return [
        pytest.param(step.name, when, id=f"{when} {step.name}")
        for step in STEPS[kind]
        for when in ("before", "after")
    ]


def is_promoted(step: str, when: str) -> bool:
    return step in AFTER_SWITCH or (step, when) == ("switch traffic", "after")


def next_close(model: Model) -> None:
    model.close(names(model)[1])


def next_up(model: Model) -> None:
    settle_target("local", "tunegate up", print)


def next_run(model: Model) -> None:
    retire_left("local", [], print)


def next_rollback(model: Model) -> None:
    with pytest.raises(TunegateError, match=r"is its only champion so far|has no champion"):
        roll_back(model.name, 60, print)


@pytest.mark.parametrize("before", ["first", "former", "former gone"])
@pytest.mark.parametrize(("step", "when"), cases("promotion"))
def test_a_promotion_is_finished_or_taken_back(
    model: Model, death: Death, step: str, when: str, before: str
) -> None:
    earlier, release = names(model)
    former = None if before == "first" else model.champion(earlier, "e")
    spec, stages = model.deploy(release, "a"), list[Any]()
    if before == "former gone":
        del model.backend.deployed[deployment_name(model.name, earlier)], model.backend.live[model.name]
    death.at("promotion", step, when)
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()

    model.close(release)

    promoted = is_promoted(step, when)
    assert outcome(release) == ("promoted" if promoted else "failed")
    if before == "former gone" and not promoted:
        registered = model_registry.champion(runs.client(), model.name)
        assert former and registered and registered.adapter_digest == former.adapter_digest
        assert (model.backend.deployed, model.backend.champion(model.name)) == ({}, None)
        assert model.backend.unfinished(model.name) is None
    else:
        model.assert_settled(spec if promoted else former)


@pytest.mark.parametrize("comes_next", [next_up, next_run, next_rollback])
@pytest.mark.parametrize(("step", "when"), cases("promotion")[1:])
def test_whoever_comes_next_settles_it(
    model: Model, death: Death, step: str, when: str, comes_next: Callable[[Model], None]
) -> None:
    earlier, release = names(model)
    former = model.champion(earlier, "e")
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at("promotion", step, when)
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()

    if is_promoted(step, when) and comes_next is next_rollback:
        roll_back(model.name, 60, print)
        model.assert_settled(former)
    else:
        comes_next(model)
        model.assert_settled(spec if is_promoted(step, when) else former)
    assert outcome(release) == ("promoted" if is_promoted(step, when) else "failed")


@pytest.mark.parametrize(
    ("is_first", "call"), [*((False, call) for call in range(1, 6)), *((True, call) for call in range(1, 5))]
)
def test_an_alias_that_was_moved_in_part_is_moved_whole(
    model: Model, death: Death, is_first: bool, call: int
) -> None:
    earlier, release = names(model)
    if not is_first:
        model.champion(earlier, "e")
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at_call(runs.client(), call)
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()

    model.close(release)

    model.assert_settled(spec)
    previous = model_registry.previous(runs.client(), model.name)
    assert (previous and previous.version) == (None if is_first else "1")
    assert outcome(release) == "promoted"


@pytest.mark.parametrize(("step", "when"), cases("roll-back"))
def test_a_roll_back_is_finished_or_taken_back(model: Model, death: Death, step: str, when: str) -> None:
    former = model.champion(names(model)[0], "e")
    present = model.champion(names(model)[1], "a")
    death.at("roll-back", step, when)
    with pytest.raises(Killed):
        roll_back(model.name, 60, print)
    death.over()

    settle_target("local", "tunegate up", print)

    moved = is_promoted(step, when)
    model.assert_settled(former if moved else present)
    previous = model_registry.previous(runs.client(), model.name)
    assert previous and previous.version == ("2" if moved else "1")


@pytest.mark.parametrize(("step", "when"), cases("retirement"))
def test_a_retirement_is_finished(model: Model, death: Death, step: str, when: str) -> None:
    earlier, release = names(model)
    former = model.champion(earlier, "e")
    model.deploy(release, "a")
    os.environ["RELEASE_ID"] = release
    verdict = Verdict(stage="service", checks=(BAD,), adapter_digest=f"sha256:{'a' * 64}")
    verdict.write(model.folder / "verdict.json")
    stages = [open_stage("service-gate", {}), open_stage("refuse", {})]
    gate, refuse = (opened.__enter__() for opened in stages)
    gate.verdict(verdict)
    stages[0].__exit__(None, None, None)
    death.at("retirement", step, when)
    with pytest.raises(Killed):
        refuse_candidate("local", model.folder / "verdict.json", refuse)
    death.over()

    model.close(release)

    model.assert_settled(former)
    assert outcome(release) == "refused"


@pytest.mark.parametrize("is_first", [False, True], ids=["with a former one", "the first"])
@pytest.mark.parametrize("when", ["before", "after"], ids=["taken back", "finished"])
@pytest.mark.parametrize("call", [1, 2])
def test_whoever_settles_may_be_killed_as_well(
    model: Model, death: Death, when: str, call: int, is_first: bool
) -> None:
    earlier, release = names(model)
    former = None if is_first else model.champion(earlier, "e")
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at("promotion", "switch traffic", when)
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()
    death.at_backend_call(model.backend, call)
    with suppress(Killed):  # the first one has nothing to retire when it is finished
        settle_target("local", "tunegate up", print)
    if death.struck:
        death.over()

    settle_target("local", "tunegate up", print)

    model.assert_settled(spec if when == "after" else former)
    assert outcome(release) == ("promoted" if when == "after" else "failed")


def test_what_is_taken_back_gets_its_traffic_again_even_if_it_seems_to_have_it(
    model: Model, death: Death
) -> None:
    """A switch that was stopped in the middle may have reached a router and not what remembers it."""
    earlier, release = names(model)
    former = model.champion(earlier, "e")
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at("promotion", "switch traffic", "before")
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()
    model.backend.calls.clear()

    model.close(release)

    assert model.backend.calls == [f"promote {former.name}", f"retire {spec.name}"]


def test_a_stage_that_is_tried_again_goes_on_where_it_was(model: Model, death: Death) -> None:
    earlier, release = names(model)
    former = model.champion(earlier, "e")
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at("promotion", "switch traffic", "after")
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()
    model.backend.calls.clear()

    model.promote(release, spec, stages)

    assert model.backend.calls == [f"promote {spec.name}", f"retire {former.name}"]
    model.assert_settled(spec)


def test_a_release_that_was_closed_as_failed_is_promoted_after_all(model: Model, death: Death) -> None:
    release = names(model)[1]
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at("promotion", "switch traffic", "after")
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()
    with pytest.MonkeyPatch.context() as away:
        away.setattr(closing, "serving_backend", lambda target: 1 / 0)
        model.close(release)
    client = runs.client()
    parent = runs.parent_run(client, release)
    assert client.get_run(parent).data.tags[OUTCOME_TAG] == "failed"

    settle_target("local", "tunegate up", print)

    model.assert_settled(spec)
    run = client.get_run(parent)
    assert (run.info.status, run.data.tags[OUTCOME_TAG]) == ("FINISHED", "promoted")
    card = Path(client.download_artifacts(parent, "card.html", str(model.folder))).read_text()
    assert "PROMOTED" in card
    assert (Path(os.environ["TUNEGATE_HOME"]) / "releases" / release / "card.html").read_text() == card


def started(model: Model, home: Path) -> str:
    """Return a release that this machine has started."""
    release = names(model)[1]
    (home / "releases" / release).mkdir(parents=True)
    params = {"model_name": model.name, "serving_target": "local"}
    (home / "releases" / release / "params.json").write_text(json.dumps(params))
    return release


def shown() -> str:
    """Return what `tunegate status` says."""
    console = Console(width=300)
    with console.capture() as captured:
        console.print(status.status_view())
    return " ".join(captured.get().split())


def test_status_says_what_stands_half_way_and_how_it_ended(model: Model, death: Death, home: Path) -> None:
    release = started(model, home)
    spec, stages = model.deploy(release, "a"), list[Any]()

    death.at("promotion", "switch traffic", "after")
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()

    what = f"{model.name}: the promotion of {spec.name} by release {release}"
    assert (
        f"{what} was stopped half-way; the next `tunegate up`, `rollback` or `run` finishes it or" in shown()
    )
    assert f"{release} half-way {model.name}" in shown()
    assert model.backend.unfinished(model.name) is not None  # a look settles nothing
    with model.backend.lease(model.name, "somebody", print):
        assert f"{what} is going on" in shown()

    settle_target("local", "tunegate up", print)
    assert f"{release} promoted {model.name}" in shown()
    assert "half-way" not in shown()


def test_status_says_of_one_that_was_taken_back_where_it_was_stopped(
    model: Model, death: Death, home: Path
) -> None:
    release = started(model, home)
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at("promotion", "switch traffic", "before")
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()

    settle_target("local", "tunegate up", print)

    assert f"{release} failed {model.name} promote was stopped before it could finish." in shown()


def test_a_process_that_was_killed_leaves_its_intent_and_not_its_lease(tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "from components.serve.lease import Intent; from components.serve.local.leases import LocalLeases\n"
        "with LocalLeases(Path(sys.argv[1])).hold('pet', 'release r1', print, 0) as lease:\n"
        "    what = dict(kind='promotion', model_name='pet', by='r1', began_at=1, to_deployment='p')\n"
        "    lease.intend(Intent(**what))\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout and child.stdout.readline() == "held\n"
        leases = LocalLeases(tmp_path)
        going_on = leases.unfinished("pet")
        child.send_signal(signal.SIGKILL)
        child.wait()
    left = leases.unfinished("pet")

    assert going_on and going_on.holder.startswith("release r1 since ")
    assert left and (left.holder, left.intent.to_deployment) == ("", "p")
    with leases.hold("pet", "release r2", print, 0) as lease:
        assert lease.intent() == left.intent
        lease.intend(None)
    assert leases.unfinished("pet") is None


def test_traffic_and_aliases_that_somebody_has_moved_since_are_left_alone(model: Model, death: Death) -> None:
    """An intent that is as old as this one takes nothing from whoever has moved them meanwhile."""
    earlier, release = names(model)
    model.champion(earlier, "e")
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at("promotion", "switch traffic", "before")
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()
    third = model.deploy("third", "c")
    model.backend.promote(third.name)
    version = model_registry.version_of(runs.client(), model.name, third.image)
    assert version
    model_registry.set_champion(runs.client(), model.name, version.version, third.model_dump_json(), "local")

    settle_target("local", "tunegate up", print)

    assert model.backend.champion(model.name) == third
    registered = model_registry.champion(runs.client(), model.name)
    assert registered and registered.version == version.version
    assert spec.name not in model.backend.deployed


INTENDED = '{"kind": "promotion", "model_name": "pet", "by": "x", "began_at": 1, "to_deployment": "pet-x"}'
SPEC = {
    "name": "pet-y",
    "model_name": "pet",
    "base_model": "b",
    "image": f"oci:i@sha256:{'a' * 64}",
    "adapter_digest": f"sha256:{'a' * 64}",
    "lora_r": 1,
    "replicas": 1,
    "max_model_len": 1,
}
BAD_INTENTS = [
    pytest.param(b"", "EOF while parsing", id="empty"),
    pytest.param(INTENDED[:40].encode(), "EOF while parsing", id="cut off"),
    pytest.param(b"[]", "what is intended: .* object", id="a list"),
    pytest.param(b"[" * 100_000, "what is intended: ", id="deep"),
    pytest.param(b'{"kind": "\xff"}', "what is intended: ", id="no UTF-8"),
    pytest.param(b"{}", "kind: Field required", id="nothing in it"),
    pytest.param(INTENDED.replace("promotion", "theft").encode(), "kind: Input should be", id="no such kind"),
    pytest.param(
        INTENDED.replace('"pet"', '"dog"').encode(), "model_name: got 'dog', wanted 'pet'", id="of another"
    ),
    pytest.param(
        json.dumps(json.loads(INTENDED) | {"to_spec": SPEC}).encode(),
        "to_spec is of pet-y",
        id="another spec",
    ),
]


@pytest.mark.parametrize(("written", "words"), BAD_INTENTS)
def test_what_is_no_intent_of_this_model_is_named_and_moves_nothing(
    model: Model, tmp_path: Path, written: bytes, words: str
) -> None:
    champion = model.champion(names(model)[0], "e")
    path = Path(os.environ["TUNEGATE_HOME"]) / "leases" / "pet.json"
    path.write_bytes(written)
    model.backend.calls.clear()

    for look in (
        lambda: model.backend.unfinished("pet"),
        lambda: settle_target("local", "up", print),
        lambda: roll_back("pet", 60, print),
    ):
        with pytest.raises(InvalidInput, match=rf"{path}: (?s:.*){words}(?s:.*)delete this, and run again"):
            look()

    assert model.backend.calls == []
    assert model.backend.champion("pet") == champion


def test_what_can_neither_be_finished_nor_taken_back_is_in_nobodys_way(
    model: Model, death: Death, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier, release = names(model)
    former = model.champion(earlier, "e")
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at("promotion", "switch traffic", "after")
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()
    # Somebody has removed its version, and the former one hangs.
    version = model_registry.version_of(runs.client(), model.name, spec.image)
    assert version
    runs.client().get_model_version(model.name, version.version).tags["tunegate.image_digest"] = "gone"
    model.backend.fail[f"promote {former.name}"] = TunegateError("the router is gone")

    settle_target("local", "tunegate up", print)
    said = capsys.readouterr().out
    third = model.deploy("third", "c")
    model.promote("third", third, stages)
    model.backend.retire(spec.name)

    assert f"the promotion of {spec.name} could not be settled: the router is gone" in said
    assert model.backend.champion(model.name) == third
    registered = model_registry.champion(runs.client(), model.name)
    assert registered and registered.adapter_digest == third.adapter_digest
    assert model.backend.unfinished(model.name) is None


def test_a_first_promotion_that_fails_leaves_no_traffic_without_a_champion(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = names(model)[1]
    spec, stages = model.deploy(release, "a"), list[Any]()

    def refuse(*_: Any) -> None:
        raise TunegateError("the registry is down")

    with monkeypatch.context() as down:
        down.setattr(model_registry, "set_champion", refuse)
        with pytest.raises(TunegateError, match="the registry is down"):
            model.promote(release, spec, stages)
    model.close(release)

    model.assert_settled(None)
    assert outcome(release) == "failed"


def test_an_intent_says_when_and_by_whom(model: Model, death: Death) -> None:
    release = names(model)[1]
    spec, stages = model.deploy(release, "a"), list[Any]()
    death.at("promotion", "write the intent", "after")
    began = time.time()
    with pytest.raises(Killed):
        model.promote(release, spec, stages)
    death.over()

    left = model.backend.unfinished(model.name)

    assert left
    wanted = Intent(
        kind="promotion",
        model_name=model.name,
        by=f"release {release}",
        release=release,
        began_at=left.intent.began_at,
        serving_target="local",
        to_deployment=spec.name,
        to_version="1",
        to_spec=spec,
    )
    assert left.intent == wanted
    assert began <= left.intent.began_at <= time.time()
    assert traffic.STEPS["promotion"][0].name == "write the intent"
