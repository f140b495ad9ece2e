"""Which sources keep the files of their attempts elsewhere: on another machine, or in a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..sources.registry import KINDS

if TYPE_CHECKING:
    from ..remote.mirror import Mirror

BOOTSTRAP, CONSOLE = "bootstrap.log", "console.log"
"""In the directory of an attempt in a cloud: what its instance did before and after the work, and what EC2 kept of its
console where it never gave a sign of life."""


def is_elsewhere(kind: str, options: Mapping[str, str]) -> bool:
    """Whether attempts of such a source write where their files must be brought home from.

    A cluster without a `host` is one whose login node this is: its attempts run in the sweep's directory at home.
    """
    return is_cloud(kind) or (kind in KINDS and KINDS[kind].remote and bool(options.get("host")))


def is_cloud(kind: str) -> bool:
    """Whether each attempt of such a source has a machine of its own, and its files go by a bucket."""
    return kind in KINDS and KINDS[kind].cloud


def mirror_of(
    sweep: str,
    source: str,
    options: Mapping[str, str],
    attempt: str,
    *,
    keep: int | None,
    poll: float | None = None,
) -> Mirror:
    """A copy at home of the logs of `attempt` (`task_001.1`) on a source that is elsewhere, not begun yet.

    `keep` as in `Mirror`; `poll`: seconds between two looks, None: as is right for a long time. A source without a
    `host` is one of a cloud, by its `region`.
    """
    if options.get("host"):
        from ..remote.mirror import POLL, Mirror

        return Mirror(sweep, source, dict(options), attempt, keep=keep, poll=poll or POLL)
    from ..aws.bucket import SweepBucket
    from ..aws.cloud import Cloud
    from ..aws.live_logs import POLL as BUCKET_POLL
    from ..aws.live_logs import BucketMirror

    bucket = SweepBucket(
        Cloud(options.get("profile", "")), options["region"], sweep, options.get("bucket", "")
    )
    return BucketMirror(bucket, source, attempt, keep=keep, poll=poll or BUCKET_POLL)
