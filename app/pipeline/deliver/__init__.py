"""Stage 5: make the calls, lane by lane; reserve each effect, try, decide, record.

lane.py      one connection's line: claim in order, reserve, send up to the limits
attempt.py   one try: the action runs, its request is marked before its bytes go
outcome.py   what a try came to, and what becomes of the call (pure)
ending.py    what is written of it (pure)
limits.py    rate windows and the breaker
record.py    marks and ends, sharing commits
"""
