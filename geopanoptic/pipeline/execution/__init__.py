"""Where the tasks of a run are computed: threads of this process, processes, a Dask cluster, Slurm jobs."""

from geopanoptic.pipeline.execution.executor import Executor
from geopanoptic.pipeline.execution.threads import Threads

__all__ = ["Executor", "Threads"]
