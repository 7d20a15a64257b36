"""What can be deployed: one TOML file per preset, and the model that reads it.

`model` says what a preset is, `fields` judges a job's input, `loading` finds a preset and `parsing`
reads its TOML. Nothing here talks to RunPod or knows of endpoints that exist.
"""
