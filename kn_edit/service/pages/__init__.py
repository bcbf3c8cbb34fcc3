"""Pages of the service, for people: HTML made on the server, which works without scripts too.

site       the pages, put onto the application
rendering  templates, and what may be shown
routes     routes whose errors are pages too
history    pages that look at the history
propose    forms of updates and erasures
moves      branches, tags, and what moves them; what lets versions leave
jobs       long work as it goes on, what came of it, and what to do next
submitting from a form to a job
compare    two versions side by side on a prompt
drawing    the graph of moves, and where an edit writes, as numbers to draw
figures    what was measured, with intervals
"""
