"""Run a package under kfp.local: python run_package.py PACKAGE PARAMS_JSON [--no-cache]."""

import json
import sys
import warnings
from pathlib import Path

from kfp import components, local

from components.settings import home

if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="kfp")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(home() / "artifacts"))
    release = components.load_component_from_file(sys.argv[1])
    try:
        release(**json.loads(Path(sys.argv[2]).read_text()))
    except RuntimeError as error:
        sys.exit(str(error))
