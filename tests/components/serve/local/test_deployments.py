import pytest

from components.serve.local.deployments import replica_environments, spread_cores
from components.settings import Settings


@pytest.mark.parametrize(
    ("cores", "replicas", "bound"),
    [
        pytest.param([0, 1], 2, ["0", "1"], id="one each"),
        pytest.param([0, 1], 1, ["0,1"], id="all for one"),
        pytest.param([0, 1], 3, ["0", "1", "0"], id="shared"),
        pytest.param([0, 1, 2, 3, 4], 2, ["0,1", "2,3,4"], id="uneven"),
        pytest.param([2, 3, 8, 9], 2, ["2,3", "8,9"], id="only those this process may use"),
    ],
)
def test_cores_are_dealt_out(cores: list[int], replicas: int, bound: list[str]) -> None:
    assert spread_cores(cores, replicas) == bound


@pytest.mark.parametrize(
    ("settings", "replicas", "expected"),
    [
        pytest.param(
            {"device": "cpu"}, 2, [{"VLLM_CPU_OMP_THREADS_BIND": b} for b in ("0", "1")], id="cores"
        ),
        pytest.param({"device": "cuda", "gpus": 1}, 2, [{"CUDA_VISIBLE_DEVICES": "0"}] * 2, id="one GPU"),
        pytest.param(
            {"device": "cuda", "gpus": 2}, 3, [{"CUDA_VISIBLE_DEVICES": g} for g in "010"], id="two GPUs"
        ),
    ],
)
def test_each_replica_has_its_own_cores_or_gpu(settings, replicas, expected):
    environments = replica_environments(Settings(**settings), [0, 1], replicas)
    assert all(wanted.items() <= found.items() for wanted, found in zip(expected, environments, strict=True))


def test_replicas_know_where_the_keys_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environments = replica_environments(Settings(api_keys="keys"), [0, 1], 2)
    assert [found["TUNEGATE_API_KEYS"] for found in environments] == [str(tmp_path / "keys")] * 2
