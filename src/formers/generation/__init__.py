"""Writing texts: what is asked for, how scores become tokens, when to stop, and who reads along.

configuration.py   GenerationConfig; rules.py: what its values may be        no torch
processors.py      scores changed by rules; penalties.py: by what was written; warpers.py: what is left to draw from
largest.py         the best of many scores, without sorting them; sampling.py: drawing from them
stopping.py        when a text is done; streamers.py: texts read as they grow
task.py            one call of generate, its arguments read; runner.py: what the model computes for it
writing.py         one token a text and step; assisted.py: with guesses; contrastive.py, layer_contrast.py: by contrast
searching.py       beams.py: the best few of each text; groups.py: in groups; constrained.py: with what has to be there
guidance.py        scores away from another prompt's; watermarking.py: texts that are known again; healing.py: prompts
"""
