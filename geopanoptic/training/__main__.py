"""``python -m geopanoptic.training configs/default-bundle.yaml --pool POOL --out RUN``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from geopanoptic.errors import GeopanopticError
from geopanoptic.training.config import read_config


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m geopanoptic.training", description="Train a network.")
    parser.add_argument("config", type=Path, help="YAML file, see configs/")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and log")
    parser.add_argument("--pool", type=Path, help="folder of sample folders, instead of the file's")
    parser.add_argument("--minutes", type=float, help="wall-clock budget, instead of the file's")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        config = read_config(arguments.config, pool=arguments.pool, minutes=arguments.minutes)
        from geopanoptic.training.trainer import train

        print(train(config, arguments.out))
    except GeopanopticError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
