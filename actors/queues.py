"""Every queue name, spelled once. Each costs two threads and two polls in every process that serves it."""

LANES = "lanes"
SYNC = "sync"

ALL = (LANES, SYNC)
BY_PROCESS = {"lanes": (LANES,), "jobs": (SYNC,)}
