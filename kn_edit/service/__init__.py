"""A workspace over HTTP: `kn-edit serve`. Needs the extra `serve`.

app        the application, put together
service    what every route works with
access     who calls, and what that caller may do
work       the table of verbs: JSON to a call of the workspace, and its result to JSON
arguments  what each verb is told, as models; method_options those of methods
verbs      how each verb calls the workspace, by subject
models     what is answered, as models for OpenAPI
problems   errors as problem+json; wording has their remedies in words of HTTP
preconditions, keys, once   what a write names: its head, its key
kept_answers what readers are answered, kept until somebody commits
kept_answers what readers are answered, kept until somebody commits
answering  the live model, which answers many callers in turns
api        the routes of /api/v1, by subject
pages      the pages for people
openai     the live model for clients of OpenAI's API: /v1
operations health, figures and the log of requests, for whoever runs the service
"""
