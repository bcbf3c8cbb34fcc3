"""Long work that outlives a request: what a job is, and who runs it."""
