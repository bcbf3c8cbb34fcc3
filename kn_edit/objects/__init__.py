"""Object storage: buckets of servers that speak the protocol of Amazon S3."""
