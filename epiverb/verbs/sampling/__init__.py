"""Sampling into a run folder: what is asked, what it is asked with, and how nothing of it is lost.

`job.py` resolves the settings, `arms.py` builds requests from contexts and `material.py`, `draw.py` samples and grades
them, `store.py` keeps what was drawn through any interruption, and `finish.py` makes a run of it.
"""
