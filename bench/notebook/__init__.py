"""The notebook's experiments, and its printed numbers beside ours."""
