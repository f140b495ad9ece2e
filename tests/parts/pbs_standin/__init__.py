"""A stand-in for OpenPBS 23.06: one server process that answers the commands as a real one was recorded to answer.

`samples/` holds the recorded answers; `tests/engine/sources/test_pbs_standin.py` brings the stand-in into the situation
of each and compares. What is not recorded is taken from OpenPBS's own sources (named where it is used) and marked so.
Jobs really run, as processes in sessions of their own.

    client.py      what `qsub`, `qstat`, … are: they hand their arguments to the server
    server.py      the process: sockets and the loop      cluster.py   jobs, their states, the scheduler
    mom.py         processes on the node                  jobs.py      a job's attributes, in the order PBS prints them
    submit.py      qsub                                   commands.py  qdel, qalter, qhold, qrls, qsig
    answers.py     qstat, qselect, pbsnodes               text.py      PBS's JSON, its dates, its guesses at types
"""
