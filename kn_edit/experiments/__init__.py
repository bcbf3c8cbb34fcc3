"""The experiments of Dai et al. (2022) on a workspace's model, with controls."""
