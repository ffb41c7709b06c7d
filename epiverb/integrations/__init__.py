"""Other people's trainers and tools: an observer for TRL, settings of the published runs for verl.

Each module imports what it is for only when it is used.
"""
