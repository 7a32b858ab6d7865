"""What the server that forks the loader's workers imports first: it outlives the signals that stop a training.

They reach the whole process group. A server that they end takes its workers along, and with them the last steps.
"""

import signal

for _name in ("SIGTERM", "SIGUSR1"):  # multiprocessing itself ignores SIGINT there
    if hasattr(signal, _name):
        signal.signal(getattr(signal, _name), signal.SIG_IGN)
