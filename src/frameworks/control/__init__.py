"""The control plane: who may do what, immediately consistent."""
