"""The killer of the crash tests, in a process of its own: `python -m tests.crash.killer PID SECONDS`.

The moment is drawn by the test from its seed; nothing waits for it to be a good one.
"""

from __future__ import annotations

import os
import signal
import sys
import time

if __name__ == "__main__":
    pid, seconds = int(sys.argv[1]), float(sys.argv[2])
    time.sleep(seconds)
    os.killpg(pid, signal.SIGKILL)
