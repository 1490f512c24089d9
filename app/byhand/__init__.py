"""What people do by hand, by API, web or command line; each is checked, done in one transaction, and noted.

runs.py      a failed run goes on, a run is cancelled
answers.py   what a person knows of an effect that the hub is unsure of
replay.py    an event runs recipes again; foresee.py says what that would do
approvals.py a run asks a person, and goes on by the answer
people.py    who a customer is, all that is held of them, and their erasure
inputs.py    what a shop sets of a recipe
flow.py      recipes and connections are paused and resumed, recipes enabled and disabled; held.py lets their runs go
"""

from app.byhand.answers import Answer, Answered, answer
from app.byhand.approvals import Approval, Approved, approve
from app.byhand.replay import Replay, ReplayWanted, replay
from app.byhand.runs import Cancelled, Retried, cancel, retry

__all__ = [
    "Answer",
    "Answered",
    "Approval",
    "Approved",
    "Cancelled",
    "Replay",
    "ReplayWanted",
    "Retried",
    "answer",
    "approve",
    "cancel",
    "replay",
    "retry",
]
