"""Where the tasks of a run are computed: threads of this process, processes, a Dask cluster, Slurm jobs."""

from geopanoptic.pipeline.execution.executor import Executor
from geopanoptic.pipeline.execution.threads import Threads, wait_for_interrupted

__all__ = ["Executor", "Threads", "wait_for_interrupted"]
