"""Seeds that once failed, or that fail when the fault they are kept for is put back; they run in the default suite.

A seed is a day only as long as the simulation draws its lots as it did: when it changes, look for others (put the fault
back, play a few hundred), and keep in mind that the pure tests name each of these faults too.
"""

from __future__ import annotations

KEPT: dict[int, str] = {
    73: "the launch delay was passed over when the journal rounded the last launch up",
    11: "a retry's wait ended a fraction of a millisecond before the event that ends it, for ever",
    12: "the engine never slept while a source was away beyond its grace; "
    "an engine met a file that one without the lock had just gone on to",
    4: "a power failure took lines that the next file's header spoke of: the sweep could not be opened",
    35: "a power failure took lines that the snapshot knew: the journal could not be replayed",
    29: "attempts were given up at once, because the time without any engine counted as silence",
    20: "an engine that slept while it opened a sweep began a file in front of its successor",
    1: "a forced cancel came to its source as a gentle one",
    343: "a source that was away and back within one poll stayed away",
    60: "an engine acted on what it had journalled after it had lost the lock",
    108: "an engine that had lost the lock took a request with it",
    33: "a power failure took the record of a launch that lived on elsewhere",
    50: "what a source held back behind a limit was counted wrong as a batch drained; "
    "a queue was told to run more than its source has slots",
    116: "a new limit was not counted as load",
    131: "an engine without the lock went on to a file that was another's",
    74: "a source that was disabled got one probe after the other",
    56: "a probe was given to a source that was away",
    166: "an attempt that our own signal ended with 0 was taken for a late completion",
    1014: "two disabled sources were each given a probe, and there was one task",
    1057: "an engine that read the snapshot served the groups of tasks in another order than the journal tells",
    1745: "an attempt that was given up, came back, and was lost with its files was taken off the tries twice",
}
