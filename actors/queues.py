"""Every queue name, spelled once. Each costs two threads and two polls in every process that serves it."""

LANES = "lanes"
SYNC = "sync"
TICK = "tick"

ALL = (LANES, SYNC, TICK)
BY_PROCESS = {"lanes": (LANES,), "jobs": (SYNC, TICK)}
