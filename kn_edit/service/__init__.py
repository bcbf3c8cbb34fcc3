"""A workspace over HTTP: `kn-edit serve`. Needs the extra `serve`.

app        the application, put together
service    what every route works with
access     who calls, and what that caller may do
problems   errors as problem+json
answering  the live model, which answers many callers in turns
api        the routes of /api/v1, by subject
pages      the pages for people
openai     the live model for clients of OpenAI's API: /v1
"""
