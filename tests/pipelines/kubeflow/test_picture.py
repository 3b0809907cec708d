from pipelines.kubeflow.compile import SHIPPED
from pipelines.kubeflow.picture import mermaid


def test_the_picture_is_the_graph():
    lines = [line.strip() for line in mermaid(SHIPPED.read_text()).splitlines()]
    edges = [line for line in lines if "-->" in line]
    assert lines[:2] == ["flowchart TD", "subgraph release"]
    assert edges == [
        "validate-dataset --> find-champion",
        "find-champion -->|something-new| finetune",
        "finetune --> evaluate",
        "evaluate --> quality-gate",
        "quality-gate -->|quality-passed| push-image",
        "push-image --> deploy",
        "deploy --> stress",
        "stress --> service-gate",
        "service-gate -->|service-passed| promote",
        "service-gate -->|service-refused| refuse",
        "quality-gate -->|quality-refused| refuse-2",
        "release -->|however it ends| close-release",
    ]
    for gate in ("quality-gate", "service-gate"):
        assert f"{gate}{{{gate}}}" in lines
    assert "promote[promote]" in lines
