"""What the form names by default is what manifests/kubeflow makes."""

from pathlib import Path

import yaml

from pipelines.kubeflow.params import KubeflowParams
from pipelines.kubeflow.pods import SETTINGS
from pipelines.kubeflow.settings import ClientSettings

FOLDER = Path(__file__).parents[3] / "manifests" / "kubeflow"


def default(name: str) -> str:
    return str(KubeflowParams.model_fields[name].default)


def test_names_of_the_form_are_there():
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert kustomization["configMapGenerator"][0]["name"] == default("settings_map")
    assert yaml.safe_load((FOLDER / "cache.yaml").read_text())["metadata"]["name"] == default("cache_claim")
    text = (FOLDER / "kustomization.yaml").read_text()
    assert default("credentials_secret") in text and default("registry_secret") in text
    account = yaml.safe_load((FOLDER / "account.yaml").read_text())
    assert account["subjects"][0]["name"] == ClientSettings.model_fields["service_account"].default


def test_what_is_set_reaches_the_stages():
    lines = [line for line in (FOLDER / "settings.env").read_text().splitlines() if not line.startswith("#")]
    named = {line.partition("=")[0] for line in lines}
    assert "MLFLOW_TRACKING_URI" in named and named <= set(SETTINGS)
