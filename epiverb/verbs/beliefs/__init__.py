"""Beliefs of a model along the traces of a run: candidates, one pass a trace, tables, and what they say."""
