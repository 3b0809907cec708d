"""The API server: our objects applied and read, and its refusals put into words."""

import json
import os
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes.connection import connect
from components.web import quoted

MANAGER = "tunegate"
MAX_LOG_BYTES = 64 << 10
# Who sets the number of engines, and holds an autoscaler at one: apart from all else of a deployment.
SCALE_MANAGER = f"{MANAGER}-scale"
FIRST_PATIENCE_S, PATIENCE_S, RETRY_S = 4.0, 90.0, 1.0
API_VERSIONS = {
    "Deployment": "apps/v1",
    "Endpoints": "v1",
    "Event": "v1",
    "Lease": "coordination.k8s.io/v1",
    "Namespace": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Pod": "v1",
    "PodDisruptionBudget": "policy/v1",
    "ReplicaSet": "apps/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "SelfSubjectAccessReview": "authorization.k8s.io/v1",
    "Service": "v1",
}

Found = dict[str, Any]
T = TypeVar("T")


class Conflict(TunegateError):
    """Somebody else manages a field that we would change."""


class Rejected(TunegateError):
    """The API server does not take an object as it is."""


class Outdated(TunegateError):
    """Somebody else was quicker: an object is there already, or is another one than it was."""


class Cluster:
    """One namespace of a cluster.

    An API server that is away for a while, an upgrade say, is waited for: by the stages of a release from
    their first request on, for others once it has answered, since a person waits for that answer.

    Args:
        namespace: Where everything is read and written.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        is_stage = bool(os.environ.get("RELEASE_ID"))
        self._patience_s = PATIENCE_S if is_stage else FIRST_PATIENCE_S

    def require(self) -> None:
        """Refuse a cluster that can't be used.

        Raises:
            InvalidInput: There is no cluster, or no such namespace.
        """
        try:
            missing = self._read("Namespace", self.namespace, None) is None
        except TunegateError as error:
            if "is not allowed" not in str(error):
                raise
            return  # a service account of one namespace may not ask
        if missing:
            problem = (
                f"there is no namespace {self.namespace}; kubectl apply -k manifests/base makes it with its "
                f"accounts, if its kustomization.yaml has namespace: {self.namespace}"
            )
            raise InvalidInput("TUNEGATE_CLUSTER_NAMESPACE", [problem])

    def knows(self, kind: str) -> bool:
        """Return whether the API server has a kind; asked each time, since operators come and go."""
        version = API_VERSIONS[kind]
        root = "apis" if "/" in version else "api"

        def ask() -> bool:
            from kubernetes.dynamic.exceptions import NotFoundError

            try:
                found = self._client.request("get", f"/{root}/{version}")
            except NotFoundError:
                return False
            return any(resource["kind"] == kind for resource in found.to_dict()["resources"])

        return self._call(f"ask for the kind {kind}", ask)

    def get(self, kind: str, name: str) -> Found | None:
        """Return an object, or nothing where there is none."""
        return self._read(kind, name, self.namespace)

    def list(self, kind: str, labels: str = "", fields: str = "") -> list[Found]:
        """Return the objects that carry the labels and fields."""
        found = self._call(
            f"list {kind}",
            lambda: self._kind(kind).get(
                namespace=self.namespace,
                label_selector=labels or None,
                field_selector=fields or None,
            ),
        )
        items: list[Found] = found.to_dict()["items"]
        return items

    def apply(
        self, manifest: Found, manager: str = MANAGER, dry_run: bool = False, force: bool = False
    ) -> Found:
        """Apply an object on the server's side; fields that somebody else manages are not taken over.

        Args:
            manifest: The object, or the part of it that the manager wants.
            manager: Whose the fields are.
            dry_run: Only see whether it would be taken.
            force: Take fields over, too.

        Raises:
            Conflict: Somebody else manages a field to which we would give another value.
            Rejected: The API server does not take it as it is.
            TunegateError: The API server refuses it, with its reason.
        """
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        applied: Found = self._call(
            f"apply {kind} {name}",
            lambda: self._kind(kind).server_side_apply(
                body=manifest,
                name=name,
                namespace=self.namespace,
                field_manager=manager,
                force_conflicts=force,
                dry_run="All" if dry_run else None,
            ),
        ).to_dict()
        return applied

    def create(self, manifest: Found) -> Found:
        """Make an object that is not there yet.

        Raises:
            Outdated: It is.
        """
        return self._write("create", manifest)

    def replace(self, manifest: Found) -> Found:
        """Write an object over the one that was read, which its `resourceVersion` names.

        Raises:
            Outdated: It was changed or deleted meanwhile.
        """
        return self._write("replace", manifest)

    def allows(self, verb: str, resource: str, group: str = "") -> bool:
        """Return whether we may do something in the namespace.

        Args:
            verb: What, such as `create`.
            resource: To what, such as `deployments` or `pods/log`.
            group: Its API group; empty: the core group.
        """
        kind, _, subresource = resource.partition("/")
        asked = {"namespace": self.namespace, "verb": verb, "group": group, "resource": kind}
        review = {
            "apiVersion": API_VERSIONS["SelfSubjectAccessReview"],
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked | ({"subresource": subresource} if subresource else {})},
        }
        answer = self._call(
            f"ask whether {verb} {resource} is allowed",
            lambda: self._kind("SelfSubjectAccessReview").create(body=review),
        )
        return bool(answer.to_dict()["status"]["allowed"])

    def delete(self, kind: str, name: str, grace_s: int | None = None) -> None:
        """Delete an object and what depends on it; one that is not there is no error."""

        def send() -> None:
            from kubernetes.dynamic.exceptions import NotFoundError

            body: Found = {"propagationPolicy": "Background"}
            if grace_s is not None:
                body["gracePeriodSeconds"] = grace_s
            try:
                self._kind(kind).delete(name=name, namespace=self.namespace, body=body)
            except NotFoundError:
                return

        self._call(f"delete {kind} {name}", send)

    def log_end(self, pod: str, container: str, previous: bool, lines: int = 15) -> str:
        """Return the last lines that a container wrote; empty where there is no log."""
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import HTTPError

        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        query = [("container", container), ("tailLines", str(lines)), ("previous", str(previous).lower())]
        query.append(("limitBytes", str(MAX_LOG_BYTES)))  # a line may have no end
        try:
            answer = self._client.request(
                "get",
                path,
                query_params=query,
                header_params={"Accept": "*/*"},
                serialize=False,
            )
            text: str = answer.data.decode(errors="replace")
        except (DynamicApiError, HTTPError, OSError):  # not waited for: whoever asks has an error to tell
            return ""
        return text.strip()

    def _write(self, verb: str, manifest: Found) -> Found:
        kind, name = manifest["kind"], manifest["metadata"]["name"]

        def send() -> Found:
            from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

            try:
                write = getattr(self._kind(kind), verb)
                written: Found = write(body=manifest, namespace=self.namespace).to_dict()
            except (ConflictError, NotFoundError) as error:
                if verb == "create" and isinstance(error, NotFoundError):  # its namespace
                    raise
                raise Outdated(f"can't {verb} {kind} {name}: somebody else has changed it") from error
            return written

        return self._call(f"{verb} {kind} {name}", send)

    def _read(self, kind: str, name: str, namespace: str | None) -> Found | None:
        def ask() -> Found | None:
            from kubernetes.dynamic.exceptions import NotFoundError

            try:
                found: Found = self._kind(kind).get(name=name, namespace=namespace).to_dict()
            except NotFoundError:
                return None
            return found

        return self._call(f"read {kind} {name}", ask)

    @cached_property
    def _client(self) -> Any:
        return connect()

    def _kind(self, kind: str) -> Any:
        from kubernetes.dynamic.exceptions import ResourceNotFoundError

        try:
            return self._client.resources.get(api_version=API_VERSIONS[kind], kind=kind)
        except ResourceNotFoundError as error:
            raise InvalidInput("the cluster", [too_old(kind)]) from error

    def _call(self, what: str, send: Callable[[], T]) -> T:
        """Ask the API server, again while it is away."""
        from kubernetes.dynamic.exceptions import DynamicApiError
        from urllib3.exceptions import HTTPError

        started = time.monotonic()
        while True:
            try:
                answer = send()
                self._patience_s = PATIENCE_S
                return answer
            except DynamicApiError as error:
                passes = error.status in (429, 500, 502, 503, 504) and not _unknown_field(error)
                if not passes or self._waited_long(started):
                    raise _in_words(what, error) from error
            except (HTTPError, OSError) as error:
                if self._waited_long(started):
                    raise TunegateError(
                        f"can't {what}: the API server does not answer ({error}); "
                        "check KUBECONFIG and the network"
                    ) from error
            except (ValueError, RecursionError) as error:
                raise TunegateError(
                    f"can't {what}: what answers is no API server ({quoted(str(error))}); check KUBECONFIG, "
                    "and what stands between"
                ) from error
            time.sleep(RETRY_S)

    def _waited_long(self, started: float) -> bool:
        return time.monotonic() - started > self._patience_s


def too_old(kind: str) -> str:
    """Return the problem with a cluster that does not have a kind."""
    return f"has no {API_VERSIONS[kind]} {kind}: it is too old; Kubernetes 1.21 or newer is needed"


def _in_words(what: str, error: Any) -> TunegateError:
    """Return what the API server said, and what to do about it."""
    try:
        status = json.loads(error.body)
    except (TypeError, ValueError, RecursionError):
        status = {}
    # A proxy before the API server may answer in its stead, with anything.
    status = status if isinstance(status, dict) else {}
    message, details = status.get("message"), status.get("details")
    said = quoted(message if isinstance(message, str) and message else f"{error.status} {error.reason}", 2000)
    found = details.get("causes") if isinstance(details, dict) else None
    causes = [
        quoted(f"{cause.get('field', '')}: {cause.get('message', '')}")
        for cause in (found if isinstance(found, list) else [])
        if isinstance(cause, dict) and cause.get("reason") == "FieldManagerConflict"
    ]
    if causes:
        return Conflict(
            f"can't {what}: somebody else manages a part of it, which is left alone: {'; '.join(causes)}. "
            "Let them give it up, or delete the object, and run again"
        )
    if error.status == 401:
        return TunegateError(f"can't {what}: the cluster does not know who you are ({said}); sign in again")
    if error.status == 403 and "admission webhook" not in said:  # which refuses objects, not people
        return TunegateError(f"can't {what}: it is not allowed ({said}); ask for the right, see manifests/")
    kind = Rejected if error.status in (400, 422, 500) else TunegateError
    return kind(f"can't {what}: {said}")


def _unknown_field(error: Any) -> bool:
    """Say whether an object has a field that this API server does not know; older ones answer 500."""
    return error.status == 500 and "field not declared in schema" in str(error.body)
