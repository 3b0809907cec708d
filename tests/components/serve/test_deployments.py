import pytest

from components.serve.deployments import spread_cores


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
