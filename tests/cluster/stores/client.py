"""What a client of MLflow does, in a pod without credentials of the store.

python client.py log        # a run with a parameter, a metric and an artifact; prints what it reads back
python client.py read RUN   # prints what stands in a run
"""

import json
import os
import sys
import urllib.error
import urllib.request

import mlflow

assert not [name for name in os.environ if name.startswith("AWS_")]


def log() -> str:
    """Log a run and return its number."""
    mlflow.set_experiment("tunegate-test")
    with mlflow.start_run() as run:
        mlflow.log_param("lora_r", 16)
        for step in range(3):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        mlflow.log_text("promoted", "release/verdict.txt")
        mlflow.log_text("x" * 20_000_000, "release/large.txt")  # more than one part of an upload
    return str(run.info.run_id)


def read(run_id: str) -> dict[str, object]:
    """Return what stands in a run."""
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    return {
        "run": run_id,
        "artifacts": run.info.artifact_uri.partition(":")[0],
        "lora_r": run.data.params["lora_r"],
        "losses": len(client.get_metric_history(run_id, "loss")),
        "verdict": mlflow.artifacts.load_text(f"runs:/{run_id}/release/verdict.txt"),
        "large": len(mlflow.artifacts.load_text(f"runs:/{run_id}/release/large.txt")),
        "other_host": status("rebound.example.com"),
    }


def status(host: str) -> int:
    """Ask for experiments under another name, as a page that was rebound to this address would."""
    url = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={"Host": host}), timeout=30
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


print(json.dumps(read(log() if sys.argv[1] == "log" else sys.argv[2])))
