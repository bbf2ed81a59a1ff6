"""How objects look in a notebook: HTML of configurations, models, encodings and results of pipelines.

Functions here know objects by what they have, and import neither torch nor another room.
"""
