"""What a guarded call costs: `python -m bench` writes `bench/results.json` and `docs/performance.md`.

Every comparison is made in one run, in interleaved rounds (A B C, B C A, C A B ...), and published as the
median over the rounds of the ratio within a round, so that a machine that drifts cancels out. The result of
every measured call is checked; one wrong answer ends the run.
"""
