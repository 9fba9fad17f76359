"""Results out: documents of the published snapshot as files in a folder or an object store."""
