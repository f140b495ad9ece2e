"""Real parts to test against: SSH servers, hosts on a network of their own, batch systems.

Each part is a context manager that works in a directory of its own, under names and ports nobody else has, and leaves
nothing behind, not even when the tests are killed (`guard.py`). `fixtures.py` makes pytest fixtures of them; a suite or
a benchmark may as well use them as they are.
"""
