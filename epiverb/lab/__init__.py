"""The lab: a small world in which the effect of suppressed doubt can be seen on a laptop.

`world.py` has the puzzles, `words.py` the vocabulary, `traces.py` how a solver talks, `shown.py` what a reader was shown and does
with it, `corpus.py` the examples of pretraining, `tokenizer.py` the tokenizer folder, `pretrain.py` the training of a base, and
`problems.py` the named set of problems `lab:FAMILY`.
"""
