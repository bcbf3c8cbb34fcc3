"""The live model in the form that clients of OpenAI's API speak: /v1.

routes     the routes
requests   what is asked, and which parameters are refused
names      versions as models: NAME@TAG
replies    answers and the pieces of a stream
errors     errors in OpenAI's form
"""

from __future__ import annotations

from kn_edit.service.openai.routes import router

__all__ = ["router"]
