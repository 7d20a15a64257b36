"""A command-line tool for RunPod Serverless, and a faithful RunPod for your own machine."""

__version__ = "0.1.0"
