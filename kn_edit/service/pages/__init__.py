"""Pages of the service, for people: HTML made on the server, which works without scripts too.

site       the pages, put onto the application
rendering  templates, and what may be shown
routes     routes whose errors are pages too
history    pages that look at the history
compare    two versions side by side on a prompt
drawing    the graph of moves, and where an edit writes, as numbers to draw
figures    what was measured, with intervals
"""
