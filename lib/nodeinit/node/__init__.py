"""What it takes to bring a node up: the phases' work, the guards of `ready`, and the embedding API."""
