"""Long work that outlives a request: what a job is, and who runs it.

job       what a job is, and the port that everybody codes against
queue     `Jobs`, which is that port for one workspace
worker    runs jobs; running makes a process of it, children keeps such processes running
pruning   old jobs go
place     where all that lies: in_folder (with lanes and presence) or in_postgres
rows      where a job stands
"""
