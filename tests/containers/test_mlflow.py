import re
from pathlib import Path

import yaml

FOLDER = Path("containers/mlflow")


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)$", path.read_text(), re.M))


def test_the_server_is_of_the_clients_version_and_has_its_stores_clients():
    server = pins(FOLDER / "requirements.txt")
    client = pins(Path("containers/local/requirements-cpu.txt"))

    assert server["mlflow"] == client["mlflow"] == server["mlflow-skinny"]
    assert {"boto3", "psycopg2-binary"} <= server.keys()
    assert not {"torch", "transformers"} & server.keys()


def test_the_manifests_name_the_version_that_the_image_is_labelled_with():
    version = re.search(r"^ARG VERSION=(\S+)$", (FOLDER / "Dockerfile").read_text(), re.M)
    (image,) = yaml.safe_load(Path("manifests/mlflow/kustomization.yaml").read_text())["images"]

    assert version and image["newTag"] == version[1]
