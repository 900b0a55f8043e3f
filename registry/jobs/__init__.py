"""The life of a job. Every change of a job's state in the system is a function of this package.

    submit -> queued -> claim -> running -> finish -> succeeded
                ^                  |  \\--> fail -> failed ------\\
                |--- release ------|  \\--> cancelled            |
                |--- lose, sweep --/                             |
                \\--- retry (failed or cancelled) ---------------/

All take the session first and leave committing to the caller, who wraps them in `Database.write()`.
"""

from registry.jobs.holding import Claim, beat, cancelled, claim, claim_next, fail, lose, record_snapshot, release
from registry.jobs.looking import events, find, get, queue_position, stage
from registry.jobs.picturing import forget_pictures, picture, pictures, record_picture
from registry.jobs.publishing import Publication, finish
from registry.jobs.story import record_event
from registry.jobs.submitting import cancel, find_reusable, retry, submit
from registry.jobs.sweeping import sweep, woken
from registry.leases import Beat, Swept

__all__ = [
    "Beat",
    "Claim",
    "Publication",
    "Swept",
    "beat",
    "cancel",
    "cancelled",
    "claim",
    "claim_next",
    "events",
    "fail",
    "find",
    "find_reusable",
    "finish",
    "forget_pictures",
    "get",
    "lose",
    "picture",
    "pictures",
    "queue_position",
    "record_event",
    "record_picture",
    "record_snapshot",
    "release",
    "retry",
    "stage",
    "submit",
    "sweep",
    "woken",
]
