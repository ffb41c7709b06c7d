"""What `epiverb score` adds to a run: token trajectories, information richness, suppression pressure."""
