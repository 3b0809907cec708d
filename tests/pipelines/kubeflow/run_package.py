"""Run the shipped package under kfp.local: python run_package.py PARAMS_JSON [--no-cache]."""

import json
import sys
import warnings
from pathlib import Path

from kfp import components, local

from components.settings import home
from pipelines.kubeflow.compile import SHIPPED

if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="kfp")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(home() / "artifacts"))
    release = components.load_component_from_file(str(SHIPPED))
    try:
        release(**json.loads(Path(sys.argv[1]).read_text()))
    except RuntimeError as error:
        sys.exit(str(error))
