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


def test_components_import_nothing_heavy_at_module_level():
    import ast

    for file in COMPONENTS.glob("*/component.py"):
        names = {
            (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert names <= {"kfp"}, file
