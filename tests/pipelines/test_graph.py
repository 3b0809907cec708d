from pathlib import Path

import pytest
from kfp import compiler

from pipelines.graph import COMPONENTS, source_fingerprint
from pipelines.params import ReleaseParams
from pipelines.release import release


def test_the_form_of_the_pipeline_is_the_parameters(tmp_path):
    compiler.Compiler().compile(release, str(tmp_path / "release.yaml"))
    inputs = release.component_spec.inputs
    assert list(inputs) == list(ReleaseParams.model_fields)
    for name, field in ReleaseParams.model_fields.items():
        if not field.is_required():
            assert inputs[name].default == field.default, name
    text = (tmp_path / "release.yaml").read_text()
    for field in ReleaseParams.model_fields.values():
        assert " ".join(field.description.split()) in " ".join(text.replace("\\\n", "").split())


def test_the_cache_key_sees_the_source(tmp_path):
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "a.py").write_text("x = 1")
    before = source_fingerprint(stage)
    assert source_fingerprint(stage) == before
    (stage / "a.py").write_text("x = 2")
    assert source_fingerprint(stage) != before
    assert source_fingerprint(COMPONENTS / "image") != source_fingerprint(COMPONENTS / "dataset")


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        pytest.param("stage/a.py", True, id="the stage's own"),
        pytest.param("near/b.py", True, id="a room that it imports in a function"),
        pytest.param("far/c.py", True, id="a room that this room imports"),
        pytest.param("far/page.html", True, id="what is no Python"),
        pytest.param("whole/e.py", True, id="a room that is imported whole"),
        pytest.param("loose.py", True, id="a loose module"),
        pytest.param("other/d.py", False, id="a room that it has nothing to do with"),
    ],
)
def test_the_cache_key_sees_what_a_stage_stands_on(tmp_path: Path, changed: str, seen: bool):
    sources = {
        "stage/a.py": "def run():\n    from components.near.b import x\n",
        "near/b.py": "from components.far import c\n",
        "far/c.py": "import os\n\nfrom components import whole\n",
        "whole/e.py": "",
        "far/page.html": "<p>",
        "other/d.py": "",
        "loose.py": "",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    before = source_fingerprint(tmp_path / "stage")

    (tmp_path / changed).write_text(sources[changed] + "# changed\n")

    assert (source_fingerprint(tmp_path / "stage") != before) == seen


def test_components_import_nothing_heavy_at_module_level():
    import ast

    for file in COMPONENTS.glob("*/component.py"):
        names = {
            (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert names <= {"kfp"}, file
