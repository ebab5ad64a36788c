"""From a config node to the object that its ``_target_`` names. Every instantiate is here."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from bionets.experiment.errors import UserError, one_line


def instantiate_node(node: dict[str, Any], **arguments: Any) -> Any:
    """Build what a config node's ``_target_`` names, with objects from elsewhere as arguments; what its constructor
    refuses is a UserError.
    """
    try:
        partial = instantiate({**node, "_partial_": True}, _convert_="all")
        partial.keywords.pop("name", None)
        return partial if node.get("_partial_") else partial(**arguments)
    except InstantiationException as error:
        raise UserError(f"{node['_target_']} cannot be built: {one_line(error)}") from error
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error
