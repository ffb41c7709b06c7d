"""The parts of `epiverb train`: what is to be done and what it takes, data, grades, the trainer, the run folder."""
