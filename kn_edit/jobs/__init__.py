"""Long work that outlives a request: what a job is, and who runs it.

job       what a job is, and the port that everybody codes against
queue     `Jobs`, which is that port for one workspace
worker    runs jobs; running makes a process of it, children keeps such processes running
rows, lanes, presence    where a job stands, who gets it next, whether that worker lives
pruning   old jobs go
"""
