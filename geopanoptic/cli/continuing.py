"""What a command that was stopped says of how to go on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from geopanoptic.cli.stopping import answering_signals


@contextmanager
def telling_how_to_continue(*additions: str, stands: str = "the output was not changed") -> Iterator[None]:
    """Ctrl-C and SIGTERM leave with the command that continues the run: this one with the options ``additions``.

    ``stands`` says what has become of the output until then.
    """
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    options = [option for option in given[:end] if option not in additions]
    remedy = f"Continue with: geopanoptic {shlex.join([*options, *additions, *given[end:]])}"
    with answering_signals(stands=stands, remedy=remedy):
        yield
