"""Which host a source's options mean: one behind SSH, or this one."""

from __future__ import annotations

from collections.abc import Mapping

from .host import Host, LocalHost


def host_of(name: str, options: Mapping[str, str]) -> Host:
    """`host` among the options: that machine; else this one (a cluster whose login node we are on).

    `name`: the source's, for messages. Connects to nothing yet.
    """
    if not options.get("host"):
        return LocalHost(name)
    from .ssh_host import SshHost, SshTarget

    return SshHost(
        SshTarget(
            options["host"],
            user=options.get("user"),
            port=int(options["port"]) if options.get("port") else None,
            key=options.get("ssh_key"),
            accept_new_host_key=options.get("accept_new_host_key") == "yes",
        )
    )
