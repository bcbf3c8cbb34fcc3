"""The verbs of a workspace, by subject. They need no torch until one asks the model."""
