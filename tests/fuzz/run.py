"""Coverage-guided fuzzing of one target, by hand, with atheris (`pip install atheris`; no part of the tests):

    python -m tests.fuzz.run TARGET [CORPUS_FOLDER] [options of libFuzzer, such as -max_total_time=300]

An input that fails is written to the current folder; put it into `tests/fuzz/corpus/TARGET/`, where the tests
try it from then on. `python -m tests.fuzz.run` lists the targets.
"""

import importlib
import sys
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
WORDS = Path(__file__).with_name("words.dict")


def main() -> None:
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["hopward_mcp", "json"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        sys.exit(f"Targets: {', '.join(targets)}")
    name = sys.argv.pop(1)
    seeds = CORPUS / name
    atheris.Setup([*sys.argv, f"-dict={WORDS}", str(seeds)], targets[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
