"""Claims of the papers as data, the runs that test them, and the verdict that a rule fixed beforehand gives.

`arms.toml` has the runs and the settings of each scale, `claims.toml` and `own.toml` the claims. `plan.py` makes steps of
arms, `runner.py` carries them out, `formula.py` reads the figure that a claim is about, `quantities.py` takes it from run
folders, `verdict.py` compares it with what was predicted, `scorecard.py` writes it down.
"""
