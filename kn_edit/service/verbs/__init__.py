"""How each verb of the service calls a workspace, by subject, and its result as JSON."""
