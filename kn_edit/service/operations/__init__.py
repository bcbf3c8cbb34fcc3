"""What whoever runs the service looks at, and what it does by itself.

requests   a line of the log and figures for each request
metrics    the figures, for Prometheus
health     whether the process answers, and whether the service can work
routes     /healthz, /readyz, /metrics
tidying    old jobs are removed
"""
