"""SCRAM credentials. Postgres keeps its own, by ALTER ROLE; these are here so that code that names them loads."""

from enum import unique

from shim.model import OrderedEnum


@unique
class ScramMechanism(OrderedEnum):
    """Which hash a credential is made with."""

    UNKNOWN = 0
    SCRAM_SHA_256 = 1
    SCRAM_SHA_512 = 2


class ScramCredentialInfo:
    """What is known of a credential.

    Attributes:
        mechanism: its hash.
        iterations: how often it was applied.
    """

    def __init__(self, mechanism: ScramMechanism, iterations: int) -> None:
        self.mechanism = mechanism
        self.iterations = iterations


class UserScramCredentialsDescription:
    """A user's credentials.

    Attributes:
        user: the name.
        scram_credential_infos: one for each mechanism.
    """

    def __init__(self, user: str, scram_credential_infos: list[ScramCredentialInfo]) -> None:
        self.user = user
        self.scram_credential_infos = scram_credential_infos


class UserScramCredentialAlteration:
    """A change of a user's credentials.

    Attributes:
        user: the name.
    """

    def __init__(self, user: str) -> None:
        self.user = user


class UserScramCredentialUpsertion(UserScramCredentialAlteration):
    """A new credential, or a new password for one.

    Attributes:
        scram_credential_info: its hash and iterations.
        password: the password.
        salt: the salt; None for a random one.
    """

    def __init__(
        self, user: str, scram_credential_info: ScramCredentialInfo, password: bytes, salt: bytes | None = None
    ) -> None:
        super().__init__(user)
        self.scram_credential_info = scram_credential_info
        self.password = password
        self.salt = salt


class UserScramCredentialDeletion(UserScramCredentialAlteration):
    """A credential that goes.

    Attributes:
        mechanism: its hash.
    """

    def __init__(self, user: str, mechanism: ScramMechanism) -> None:
        super().__init__(user)
        self.mechanism = mechanism
