"""Writing texts: what is asked for, how scores become tokens, when to stop, and who reads along.

configuration.py   GenerationConfig; rules.py: what its values may be        no torch
processors.py      scores changed by rules; penalties.py: by what was written; warpers.py: what is left to draw from
largest.py         the best of many scores, without sorting them; sampling.py: drawing from them
stopping.py        when a text is done; streamers.py: texts read as they grow
"""
