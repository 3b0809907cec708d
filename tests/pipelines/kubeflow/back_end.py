"""A Kubeflow Pipelines API on the loopback interface: every body is held against kfp_server_api's models.

It keeps what it is given, plays runs from a script, and can be awkward: refuse a token, fail for a while,
want a namespace, lose a run, or be too old.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import NAMESPACE_OID, uuid5

import kfp_server_api as api

from tests.pipelines.kubeflow.contract import as_json, violations

DATASET = "/rows.jsonl"
NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
Frame = tuple[str, dict[str, str]]  # the run's state, and the state of each of its tasks


class Refusal(Exception):
    """An answer that is none."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


class BackEnd:
    """The state of the API, and what went wrong with the requests."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.requests: list[str] = []
        self.token = ""
        self.seen_tokens: list[str] = []
        self.when_refused: Callable[[], object] = lambda: None
        self.faults: list[int] = []
        self.namespaces: list[str] = []
        self.too_old = False
        self.knows_tasks = True
        self.pipelines: dict[str, api.V2beta1Pipeline] = {}
        self.versions: dict[str, api.V2beta1PipelineVersion] = {}
        self.packages: dict[str, str] = {}
        self.experiments: dict[str, api.V2beta1Experiment] = {}
        self.runs: dict[str, api.V2beta1Run] = {}
        self.frames: dict[str, list[Frame]] = {}
        self.usual: list[Frame] = []  # what a run that is started plays
        self.recurring: dict[str, api.V2beta1RecurringRun] = {}
        self.rows = '{"instruction": "a", "output": "b"}\n'  # a dataset, at `dataset`
        self.host = ""
        self._ids = count(1)

    @property
    def dataset(self) -> str:
        """The address of a dataset that is there for everyone."""
        return f"{self.host}{DATASET}"

    def new_id(self, kind: str) -> str:
        """Return an id of the form that the real ones have."""
        return str(uuid5(NAMESPACE_OID, f"{kind}-{next(self._ids)}"))

    def play(self, run_id: str, *frames: Frame) -> None:
        """Set what a run answers, one frame for each time that it is asked; the last one stays."""
        self.runs.setdefault(run_id, api.V2beta1Run(run_id=run_id, display_name=run_id))
        self.frames[run_id] = list(frames)

    def body(self, value: Any, kind: str) -> Any:
        """Take a request's body, as the model's class."""
        wrong = violations(value, kind)
        self.violations += wrong
        if wrong:
            raise Refusal(400, f"Invalid input error: {wrong[0]}")
        model = getattr(api, kind)
        back = {json_name: name for name, json_name in model.attribute_map.items()}
        return model(**{back[key]: item for key, item in value.items()})

    def check_namespace(self, namespace: str) -> None:
        if self.namespaces and not namespace:
            raise Refusal(400, "Invalid input error: Namespace is required in multi-user mode")
        if self.namespaces and namespace not in self.namespaces:
            raise Refusal(403, "PermissionDenied: User is not authorized with reason: namespace")

    # the routes

    def list_pipelines(self, query: dict[str, str], _: Any) -> Any:
        return api.V2beta1ListPipelinesResponse(pipelines=self._listed(self.pipelines, query))

    def upload(self, query: dict[str, str], package: str) -> Any:
        pipeline_id = self.new_id("pipeline")
        self.pipelines[pipeline_id] = api.V2beta1Pipeline(
            pipeline_id=pipeline_id, display_name=query["name"], name=query["name"], created_at=NOW
        )
        self._version(pipeline_id, query["name"], package)
        return self.pipelines[pipeline_id]

    def upload_version(self, query: dict[str, str], package: str) -> Any:
        if query["pipelineid"] not in self.pipelines:
            raise Refusal(404, "pipeline not found")
        return self._version(query["pipelineid"], query["name"], package)

    def _version(self, pipeline_id: str, name: str, package: str) -> Any:
        version_id = self.new_id("version")
        self.versions[version_id] = api.V2beta1PipelineVersion(
            pipeline_id=pipeline_id,
            pipeline_version_id=version_id,
            display_name=name,
            name=name,
            created_at=NOW,
        )
        self.packages[version_id] = package
        return self.versions[version_id]

    def list_versions(self, query: dict[str, str], _: Any, pipeline_id: str) -> Any:
        own = {k: v for k, v in self.versions.items() if v.pipeline_id == pipeline_id}
        return api.V2beta1ListPipelineVersionsResponse(pipeline_versions=self._listed(own, query))

    def list_experiments(self, query: dict[str, str], _: Any) -> Any:
        self.check_namespace(query.get("namespace", ""))
        return api.V2beta1ListExperimentsResponse(experiments=self._listed(self.experiments, query))

    def create_experiment(self, _: dict[str, str], value: Any) -> Any:
        made = self.body(value, "V2beta1Experiment")
        self.check_namespace(made.namespace or "")
        made.experiment_id = self.new_id("experiment")
        self.experiments[made.experiment_id] = made
        return made

    def create_run(self, _: dict[str, str], value: Any) -> Any:
        made = self.body(value, "V2beta1Run")
        self._check_reference(value)
        made.run_id = self.new_id("run")
        made.created_at, made.state = NOW, "PENDING"
        self.runs[made.run_id] = made
        if self.usual:
            self.play(made.run_id, *self.usual)
        return made

    def get_run(self, _: dict[str, str], __: Any, run_id: str) -> Any:
        if run_id not in self.runs:
            raise Refusal(404, f"Run {run_id} not found")
        run, frames = self.runs[run_id], self.frames.get(run_id)
        if frames:
            run.state, tasks = frames[0]
            if len(frames) > 1:
                frames.pop(0)
            if run.state == "LOST":
                del self.runs[run_id]
                raise Refusal(404, f"Run {run_id} not found")
            run.run_details = api.V2beta1RunDetails(
                task_details=[self._task(run_id, name, state) for name, state in tasks.items()]
            )
            if not self.knows_tasks:
                run.run_details = None
        return run

    def _task(self, run_id: str, name: str, state: str) -> Any:
        error = api.GoogleRpcStatus(code=1, message=f"{name} broke") if state == "FAILED" else None
        return api.V2beta1PipelineTaskDetail(
            run_id=run_id,
            task_id=f"{run_id}-{name}",
            display_name=name,
            state=state,
            create_time=NOW,
            start_time=NOW,
            end_time=NOW.replace(minute=1) if state not in ("RUNNING", "PENDING") else None,
            error=error,
        )

    def list_runs(self, query: dict[str, str], _: Any) -> Any:
        runs = [r for r in self.runs.values() if r.experiment_id == query["experiment_id"]]
        assert query["sort_by"] == "created_at desc"
        return api.V2beta1ListRunsResponse(runs=runs[::-1][: int(query["page_size"])])

    def create_recurring(self, _: dict[str, str], value: Any) -> Any:
        made = self.body(value, "V2beta1RecurringRun")
        self._check_reference(value)
        made.recurring_run_id = self.new_id("recurring")
        made.created_at, made.status = NOW, "ENABLED"
        self.recurring[made.recurring_run_id] = made
        return made

    def list_recurring(self, query: dict[str, str], _: Any) -> Any:
        self.check_namespace(query.get("namespace", ""))
        return api.V2beta1ListRecurringRunsResponse(recurring_runs=list(self.recurring.values()))

    def change_recurring(self, _: dict[str, str], __: Any, recurring_id: str, verb: str) -> Any:
        self._recurring(recurring_id).status = {"enable": "ENABLED", "disable": "DISABLED"}[verb]
        return None

    def delete_recurring(self, _: dict[str, str], __: Any, recurring_id: str) -> Any:
        self._recurring(recurring_id)
        del self.recurring[recurring_id]

    def get_recurring(self, _: dict[str, str], __: Any, recurring_id: str) -> Any:
        return self._recurring(recurring_id)

    def _recurring(self, recurring_id: str) -> Any:
        if recurring_id not in self.recurring:
            raise Refusal(404, f"Recurring run {recurring_id} not found")
        return self.recurring[recurring_id]

    def _check_reference(self, value: Any) -> None:
        named = value["pipeline_version_reference"]
        version = self.versions.get(named["pipeline_version_id"])
        if version is None or version.pipeline_id != named["pipeline_id"]:
            raise Refusal(404, "pipeline version not found")
        if value["experiment_id"] not in self.experiments:
            raise Refusal(404, "experiment not found")

    def _listed(self, things: dict[str, Any], query: dict[str, str]) -> list[Any]:
        wanted = {}
        if "filter" in query:
            asked = json.loads(query["filter"])
            self.violations += violations(asked, "V2beta1Filter", "filter")
            wanted = {p["key"]: p["string_value"] for p in asked["predicates"]}
        return [
            thing
            for thing in things.values()
            if all(getattr(thing, key) == value for key, value in wanted.items())
        ]


ROUTES: list[tuple[str, str, str]] = [
    ("GET", r"/pipelines", "list_pipelines"),
    ("POST", r"/pipelines/upload", "upload"),
    ("POST", r"/pipelines/upload_version", "upload_version"),
    ("GET", r"/pipelines/([^/]+)/versions", "list_versions"),
    ("GET", r"/experiments", "list_experiments"),
    ("POST", r"/experiments", "create_experiment"),
    ("POST", r"/runs", "create_run"),
    ("GET", r"/runs", "list_runs"),
    ("GET", r"/runs/([^/]+)", "get_run"),
    ("POST", r"/recurringruns", "create_recurring"),
    ("GET", r"/recurringruns", "list_recurring"),
    ("GET", r"/recurringruns/([^/:]+)", "get_recurring"),
    ("POST", r"/recurringruns/([^/:]+):(enable|disable)", "change_recurring"),
    ("DELETE", r"/recurringruns/([^/:]+)", "delete_recurring"),
]


class _Handler(BaseHTTPRequestHandler):
    back_end: BackEnd

    def _answer(self) -> None:
        address = urlsplit(self.path)
        if address.path == DATASET:
            return self._send(200, self.back_end.rows.encode())
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.back_end.requests.append(f"{self.command} {address.path}")
        try:
            status, answer = 200, self._route(address.path, address.query, raw)
        except Refusal as refusal:
            status, answer = refusal.status, {"error": refusal.message, "message": refusal.message}
        return self._send(status, json.dumps(answer).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _route(self, path: str, asked: str, raw: bytes) -> Any:
        back_end = self.back_end
        if back_end.faults:
            raise Refusal(back_end.faults.pop(0), "the database is away")
        if back_end.token:
            back_end.seen_tokens.append(self.headers.get("Authorization", ""))
            if back_end.seen_tokens[-1] != f"Bearer {back_end.token}":
                back_end.when_refused()
                raise Refusal(401, "Request header error: token has expired")
        query = {key: values[0] for key, values in parse_qs(asked).items()}
        prefix, _, rest = path.partition("/apis/v2beta1")
        if rest and not back_end.too_old:
            for method, pattern, name in ROUTES:
                found = re.fullmatch(pattern, rest)
                if found and method == self.command:
                    route: Callable[..., Any] = getattr(back_end, name)
                    answer = route(query, self._content(raw), *found.groups())
                    return {} if answer is None else as_json(answer)
        raise Refusal(404, f"no such path: {prefix}{rest}")

    def _content(self, raw: bytes) -> Any:
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            parsed = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
            (part,) = parsed.get_payload()
            assert part.get_param("name", header="content-disposition") == "uploadfile"
            return part.get_payload(decode=True).decode()
        return json.loads(raw) if raw else None

    do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Keep the test's output to what the test says."""


@contextmanager
def running_back_end() -> Iterator[BackEnd]:
    """Serve a fresh API until the block ends; every request has to have kept the contract."""
    back_end = BackEnd()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"back_end": back_end}))
    back_end.host = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield back_end
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
