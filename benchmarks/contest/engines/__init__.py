"""One file for each engine, imported only in the process that runs it.

`Engine(model, threads, **options)` loads a model; called with a list of texts it gives what the pipelines give: a label
and its score for each text, or for embeddings an array (texts, width).
"""
