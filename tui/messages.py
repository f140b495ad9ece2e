"""What the feeds' threads and the helpers tell the screens. Each carries a value that nobody changes afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from .asking import Outcome
    from .feed import SweepNews
    from .instance_feed import InstanceTold
    from .log_feed import LogFrom, LogNews
    from .sweeps_feed import SweepsNews


class SweepTold(Message, bubble=False):
    """The sweep's feed has something new."""

    def __init__(self, news: SweepNews) -> None:
        super().__init__()
        self.news = news


class LogTold(Message, bubble=False):
    """The log's feed has something new."""

    def __init__(self, news: LogNews | LogFrom) -> None:
        super().__init__()
        self.news = news


class SweepsTold(Message, bubble=False):
    """The list of sweeps has changed."""

    def __init__(self, news: SweepsNews) -> None:
        super().__init__()
        self.news = news


class CommandTold(Message, bubble=False):
    """The exact command of a task."""

    def __init__(self, command: str) -> None:
        super().__init__()
        self.command = command


class InstanceSeen(Message, bubble=False):
    """What is known of the instance of the task that is looked at."""

    def __init__(self, instance: InstanceTold) -> None:
        super().__init__()
        self.instance = instance


class AskedTold(Message, bubble=False):
    """A request was posted, or could not be."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome
