"""Seeds that once failed, or that fail when the fault they are kept for is put back; they run in the default suite.

A seed is a day only as long as the simulation draws its lots as it did: when it changes, look for others (put the fault
back, play a few hundred), and keep in mind that the pure tests name each of these faults too.
"""

from __future__ import annotations

KEPT: dict[int, str] = {
    15: "the launch delay was passed over when the journal rounded the last launch up",
    6: "a retry's wait ended a fraction of a millisecond before the event that ends it, for ever",
    38: "the engine never slept while a source was away beyond its grace",
    31: "a power failure took lines that the next file's header spoke of: the sweep could not be opened",
    63: "a power failure took lines that the snapshot knew: the journal could not be replayed",
    52: "attempts were given up at once, because the time without any engine counted as silence",
    27: "two engines began the same journal file",
    29: "an engine that slept while it opened a sweep began a file in front of its successor",
    37: "an engine met a file that one without the lock had just gone on to",
    36: "an engine without the lock went on to a file that was another's",
    30: "a forced cancel came to its source as a gentle one",
    111: "resume woke an ended sweep for a retry that had been cancelled",
    54: "a source that was away and back within one poll stayed away",
    156: "an engine acted on what it had journalled after it had lost the lock",
    108: "an engine that had lost the lock took a request with it",
    58: "a power failure took the record of a launch that lived on elsewhere",
}
