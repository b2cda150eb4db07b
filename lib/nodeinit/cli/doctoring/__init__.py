"""What `nodeinit doctor` looks at: the software and the files of this host, and a cluster."""
