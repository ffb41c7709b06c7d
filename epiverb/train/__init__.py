"""Training: losses, advantages, teachers, token weights and demonstrations in plain torch; on top of them the trainers.

from epiverb.train.chunked import chunked_divergence
from epiverb.train.losses import shares
done = chunked_divergence(h_student, W_student, h_teacher, W_teacher, 0.5, ids=ids, mask=mask, weights=shares(mask))
done.loss.backward()
"""
