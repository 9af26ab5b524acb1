"""A contract for import-linter: plugins import public modules of the core only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from grimp import ImportGraph


def _is_private(module: str) -> bool:
    return any(part.startswith("_") for part in module.split("."))


class PublicOnlyContract(Contract):
    """Forbids importing a module whose path has a part with a leading underscore.

    import-linter's own `forbidden` contract takes whole names only, so that a new private module would go
    unnoticed until someone lists it. Only direct imports count: what a public module imports itself is its
    own affair.

    Options:
        - importers: packages that must keep to the public modules.
        - imported: the package whose private modules are out of bounds.
    """

    importers: Any = fields.SetField(subfield=fields.StringField())
    imported: Any = fields.StringField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001  import-linter's interface
        """Collect the direct imports of private modules."""
        modules = [
            module
            for package in sorted(self.importers)
            for module in [package, *sorted(graph.find_descendants(package))]
        ]
        broken = [
            f"{importer} -> {imported}"
            for importer in modules
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if imported.split(".")[0] == self.imported and _is_private(imported)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import that breaks the contract."""
        for line in check.metadata["broken"]:
            output.print_error(line)
