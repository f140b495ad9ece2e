"""A cloud on this machine, for people without an account and for tests: AWS's APIs, with instances that really run.

The APIs are moto's; what it lacks stands here, one thing in each file: requests that may be repeated (`launches.py`),
states that take their time (`fleet.py`), capacity and quotas (`room.py`), prices (`prices.py`), uploads by signed forms
(`storage.py`), the metadata service (`metadata.py`), and faults (`faults.py`). A *hypervisor* runs what instances run.

    python -m spawn_tui.tui.demo.cloud --port 0 --dir D --machines process
"""
