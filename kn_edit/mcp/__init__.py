"""Verbs as tools of the Model Context Protocol, for assistants that call tools.

tools     the table: what each tool is told, what it calls, which role it takes
place     where tools work: the workspace in a folder, or one that a service serves
server    the protocol, over stdin and stdout
wording   what can be done about an error, in the words of tools
"""
