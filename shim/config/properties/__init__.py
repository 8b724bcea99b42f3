"""Every configuration property, by name: librdkafka's, the few that its documentation hides, and the shim's own."""

from shim.config.properties.client import CLIENT
from shim.config.properties.consuming import CONSUMING
from shim.config.properties.network import NETWORK
from shim.config.properties.own import OWN
from shim.config.properties.producing import PRODUCING
from shim.config.properties.property import BOTH, CONSUMER, PRODUCER, Applies, Property, Verdict
from shim.config.properties.security import SECURITY

PROPERTIES = {entry.name: entry for entry in (*CLIENT, *NETWORK, *SECURITY, *CONSUMING, *PRODUCING, *OWN)}
"""By canonical name."""

BY_NAME = PROPERTIES | {alias: entry for entry in PROPERTIES.values() for alias in entry.aliases}
"""By canonical name and by alias."""

__all__ = ["BOTH", "BY_NAME", "CONSUMER", "PRODUCER", "PROPERTIES", "Applies", "Property", "Verdict"]
