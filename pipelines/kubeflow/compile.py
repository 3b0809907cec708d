"""Compile the release for Kubeflow Pipelines: the package that a person uploads or `submit` does."""

import tempfile
from pathlib import Path
from typing import Any

import yaml

from components.storage import atomic_write
from pipelines.kubeflow.params import KubeflowParams
from pipelines.kubeflow.settings import CompileSettings

SHIPPED = Path(__file__).parent.parent / "release.yaml"
HEADER = """\
# The release for Kubeflow Pipelines: upload it in the UI, or let `tunegate submit` do it.
#
#     tunegate compile -o pipelines/release.yaml
#
# Written by that command from pipelines/release.py; do not edit. Its parameters, in the order of the stages:
#
"""


def compile_release(path: Path, settings: CompileSettings, cache_dataset: bool = False) -> None:
    """Write the package.

    Args:
        path: Where it goes, as YAML.
        settings: What the form does not offer.
        cache_dataset: Whether the dataset stage may be skipped when its inputs did not change. Only right
            where `dataset_digest` is filled in for each run: an address alone does not say that what is
            behind it is still the same. Without it no stage is ever skipped, because each reads what the
            one before has written anew.
    """
    with atomic_write(path) as file:
        file.write(package_text(settings, cache_dataset).encode())


def package_text(settings: CompileSettings, cache_dataset: bool = False) -> str:
    """Return the package as text; the same for the same source and settings."""
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "release.yaml"
        compiler.Compiler().compile(release_for_kubeflow(settings, cache_dataset), str(path))
        spec, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    form = spec["root"]["inputDefinitions"]
    form["parameters"] = {name: form["parameters"][name] for name in KubeflowParams.model_fields}
    described = "".join(f"#   {name}\n" for name in form["parameters"])
    documents = yaml.dump_all([spec, platform], Dumper=_Readable, sort_keys=False, width=110)
    return f"{HEADER}{described}{documents}"


class _Readable(yaml.SafeDumper):
    """Writes text of several lines as it is read, so that a diff of the package can be read too."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def release_for_kubeflow(settings: CompileSettings, cache_dataset: bool) -> Any:
    """Return the pipeline with what its pods are given."""
    from pipelines.graph import SOURCE_VARIABLE, release_pipeline
    from pipelines.kubeflow.pods import equip
    from pipelines.release import wire

    def finish(task: Any, stage: str, form: Any) -> None:
        equip(task, stage, form, settings)
        if stage == "validate_dataset":
            task.set_caching_options(cache_dataset)
        spec = task.container_spec
        source = spec.env.pop(SOURCE_VARIABLE)
        if cache_dataset:
            # The back end's cache key has the command and the image, not the environment.
            spec.command = [*spec.command[:-1], f"{spec.command[-1]}\n# source {source}\n"]

    return release_pipeline(wire, KubeflowParams, finish)
