"""Optima: f*, its proof, or the proof that there is none."""
