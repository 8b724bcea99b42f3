"""Credentials that an application sets on a living client, as it does where tokens or passwords are rotated."""

from shim.config.settings import Settings, Severity


def set_aside(settings: Settings, username: str, password: str) -> None:
    """Checks the arguments of ``set_sasl_credentials``, and logs that the call has no effect.

    Who the client is to Postgres says the connection string. Nothing is kept of the arguments.

    Raises:
        TypeError: one of them is no str.
    """
    for position, given in enumerate((username, password), start=1):
        if not isinstance(given, str):
            kind = "None" if given is None else type(given).__name__
            raise TypeError(f"argument {position} must be str, not {kind}")
    settings.log(
        Severity.WARNING, "SASL", "set_sasl_credentials has no effect: the connection string says who connects"
    )
