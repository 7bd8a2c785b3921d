"""The version, read by the build and shown as `mbxai.__version__`."""

__version__ = "5.0.0.dev0"
