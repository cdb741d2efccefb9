"""What runs, and where: the stages, the clusters and the command line."""
