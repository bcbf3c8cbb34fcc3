"""Pages of the service, for people: HTML made on the server, which works without scripts too.

site       the pages, put onto the application
rendering  templates, and what may be shown
errors     what went wrong, as a page
history    pages that look at the history
drawing    the graph of moves, and where an edit writes, as numbers to draw
figures    what was measured, with intervals
"""
