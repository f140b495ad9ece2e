"""The first process of a host made by `netns.py`: it reaps what is left to it, and is otherwise idle.

Run in the host's namespaces as `python host_init.py`; prints `ready` when it listens for ended children.
"""

import os
import signal
import sys

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
sys.stdout.write("ready\n")
sys.stdout.flush()
while True:
    signal.sigwait({signal.SIGCHLD})
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        continue
