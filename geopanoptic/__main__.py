"""``python -m geopanoptic`` is the command ``geopanoptic``."""

from geopanoptic.cli.main import main

if __name__ == "__main__":
    main()
