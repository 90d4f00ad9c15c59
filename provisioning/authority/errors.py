"""What an authority can fail at."""

from agent.wire.errors import AgentError


class AuthorityError(AgentError):
    """The authority cannot sign at the moment."""


class RequestRefusedError(AuthorityError):
    """This request is signed by no authority, however often it comes."""
