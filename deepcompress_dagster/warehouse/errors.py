"""What the warehouse raises. Each message says what, where and what to do."""


class WarehouseError(RuntimeError):
    """Something is wrong with the warehouse or with what was asked of it."""


class WarehouseBusyError(WarehouseError):
    """Another process held the writer lock for longer than the time limit."""


class DiskError(WarehouseError):
    """A file of the warehouse cannot be read or written: no room, no permission, or damage."""


class NewerSchemaError(WarehouseError):
    """The file was written by a newer release than this one."""


class UnknownDocumentError(WarehouseError):
    """No document has this id."""


class NothingStagedError(WarehouseError):
    """A commit found no finished page of an asset at the version that it was asked for."""


class NotMaterializedError(WarehouseError):
    """Rows were asked for that have not been committed."""


class QueryError(WarehouseError):
    """A query of the user is wrong, or wants more than reading."""
