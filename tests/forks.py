"""Runs Python modules in forks of this process, one for each line of JSON on its input, and answers with exit codes.

python tests/forks.py SECONDS [torch]       # after which a fork is ended; with what trains in memory

What comes from others alone is imported before: this project's code is imported anew in every fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import sys

PYTEST = "pytest _pytest.junitxml _pytest.logging pygments numpy pydantic filelock jinja2 tomli_w"
TRAINS = (
    "torch torch._dynamo transformers transformers.models.qwen2.modeling_qwen2 datasets accelerate peft "
    "trl.trainer.grpo_trainer trl.trainer.sft_trainer trl.trainer.dpo_trainer scipy.stats"
)


def become(asked: dict) -> None:
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, file in enumerate((os.devnull, *asked["files"])):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
    sys.path[:1] = [asked["folder"], *asked["environment"]["PYTHONPATH"].split(os.pathsep)]
    signal.alarm(int(sys.argv[1]))
    sys.argv = asked["module"]


def main() -> list[str]:
    for name in PYTEST.split() + (TRAINS.split() if "torch" in sys.argv else []):
        importlib.import_module(name)
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        if (child := os.fork()) == 0:
            become(asked)
            return asked["module"]
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()
    os._exit(0)


if __name__ == "__main__":
    module, *_ = main()
    runpy.run_module(module, run_name="__main__", alter_sys=True)
