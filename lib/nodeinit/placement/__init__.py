"""Planning where workers go: requests, plans, the rules of what is valid, and explanations."""
