"""The port between the machine and a cluster, and a cluster in memory behind it."""
