"""The one place that states the version."""

__version__ = "0.1.0"
# the release of Transformers whose names are meant here
TRANSFORMERS = "5.23.0"
