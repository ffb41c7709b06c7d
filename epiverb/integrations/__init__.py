"""Other people's tools: an observer for TRL, settings for verl, a spaCy component, a scorer for Inspect and a scanner for Scout.

None is imported before it is used: each may need a package that is not installed.
"""
