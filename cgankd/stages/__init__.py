"""The stages: wiring, read from top to bottom. Each builds the artefacts that its command is asked
for.
"""
