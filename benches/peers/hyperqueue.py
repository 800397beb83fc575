"""Runs an array of `/bin/true` through HyperQueue with outputs kept; prints one JSON line.

usage: hyperqueue.py DIR TASKS CORES

`wait_for_jobs` looks once a second, so the end is not when it returns. The output file of a task is
made when the task starts; the youngest one dates the start of the last task, which is earlier than
its end: what is left out, the run of one `/bin/true`, favours HyperQueue.
"""

import importlib.metadata
import json
import os
import resource
import sys
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def cpu_ms():
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum((usage.ru_utime + usage.ru_stime) * 1000 for usage in usages)


def main():
    directory, tasks, cores = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    outputs = os.path.join(directory, "outputs")
    os.makedirs(outputs)
    # The directory has to be a str: a Path raises TypeError in the native part.
    with LocalCluster(os.path.join(directory, "server"), WorkerConfig(cores=cores)) as cluster:
        client = cluster.client()
        job = Job(default_workdir=outputs)
        for _ in range(tasks):
            job.program(["/bin/true"])
        cpu_before = cpu_ms()
        start = time.time()
        submitted = client.submit(job)
        accepted = time.time()
        # Raises when any task has not ended with exit code 0.
        succeeded = client.wait_for_jobs([submitted])
        seen = time.time()
        cpu = cpu_ms() - cpu_before
        kept = [entry for entry in os.scandir(outputs)]
        last = max(entry.stat().st_mtime for entry in kept)
        result = {
            "version": importlib.metadata.version("hyperqueue"),
            "succeeded": bool(succeeded),
            "outputs": len(kept),
            "submit_seconds": accepted - start,
            "seconds": last - start,
            "seen_seconds": seen - start,
            "cpu_ms": cpu,
        }
    print("RESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
