"""The parts that commands on other hosts are tried on."""

from __future__ import annotations

from ..parts.fixtures import net_hosts, new_net_hosts, new_sshd, sshd, users

__all__ = ["net_hosts", "new_net_hosts", "new_sshd", "sshd", "users"]
